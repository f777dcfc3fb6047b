# SPDX-License-Identifier: Apache-2.0
"""What UniPC, DEIS, SA-Solver and iPNDM are compared on."""

import numpy as np
from parity import Axes
from parity_axes import BOTH, KINDS, N10, N33, TRAINED, USUAL, curved

UNIPC = "UniPCMultistepScheduler"
ENDS = ["zero", "sigma_min"]
BASE = {"beta_schedule": ["scaled_linear"], "steps_offset": [1]}

UNI = [
    *curved(
        UNIPC,
        {**USUAL, "solver_order": [2, 3], "solver_type": ["bh2"], "final_sigmas_type": ENDS},
        [N10],
    ),
    Axes(
        UNIPC,
        {
            **BASE,
            "prediction_type": KINDS,
            "solver_order": [1, 2, 3],
            "solver_type": ["bh1", "bh2"],
            "predict_x0": BOTH,
            "lower_order_final": BOTH,
            "final_sigmas_type": ["sigma_min"],
            "disable_corrector": [[], [0], [1, 2, 5]],
        },
        [N10, N33],
    ),
    Axes(
        UNIPC,
        {
            "use_flow_sigmas": [True],
            "flow_shift": [1.0, 3.0],
            "shift_terminal": [None, 0.1],
            "prediction_type": [*KINDS, "flow_prediction"],
            "solver_order": [2, 3],
            "use_karras_sigmas": BOTH,
        },
        [N10],
    ),
    Axes(
        UNIPC,
        {
            "use_flow_sigmas": [True],
            "use_dynamic_shifting": [True],
            "time_shift_type": ["exponential", "linear"],
            "prediction_type": ["flow_prediction"],
        },
        [{"num_inference_steps": 10, "mu": 0.8}],
    ),
    Axes(
        UNIPC,
        {"use_flow_sigmas": [True], "prediction_type": ["flow_prediction"]},
        [{"sigmas": np.array([1.0, 0.8, 0.5, 0.2, 0.1])}],
    ),
    Axes(
        UNIPC,
        {**USUAL, "rescale_betas_zero_snr": [True], "thresholding": BOTH},
        [N10],
    ),
    Axes(
        UNIPC,
        {
            "thresholding": [True],
            "sample_max_value": [1.0, 2.0],
            "predict_x0": BOTH,
            "final_sigmas_type": ["sigma_min"],
            "prediction_type": KINDS,
        },
        [N10],
    ),
    Axes(
        UNIPC,
        {**BASE, "solver_order": [2, 3], "disable_corrector": [[], [5]]},
        [N10],
        begin=[4, 9],
    ),
    Axes(UNIPC, {**BASE, "solver_order": [4], "prediction_type": KINDS}, [N10, N33]),
    Axes(UNIPC, {**BASE, "solver_order": [2, 3]}, [{"num_inference_steps": 1}]),
    Axes(
        UNIPC,
        {"use_karras_sigmas": [True], "sigma_min": [None, 0.1], "sigma_max": [None, 50.0]},
        [N10],
    ),
    Axes(UNIPC, {"trained_betas": TRAINED, "num_train_timesteps": [100]}, [N10]),
]
DEIS = [
    *curved("DEISMultistepScheduler", {**USUAL, "solver_order": [1, 2, 3]}, [N10, N33]),
    Axes(
        "DEISMultistepScheduler",
        {**BASE, "prediction_type": KINDS, "lower_order_final": BOTH, "solver_order": [2, 3]},
        [N10, N33],
        begin=[0, 4],
    ),
    Axes(
        "DEISMultistepScheduler",
        {
            "use_flow_sigmas": [True],
            "flow_shift": [1.0, 3.0],
            "prediction_type": [*KINDS, "flow_prediction"],
            "solver_order": [2, 3],
        },
        [N10],
    ),
    Axes(
        "DEISMultistepScheduler",
        {"thresholding": [True], "sample_max_value": [1.0, 2.0], "prediction_type": KINDS},
        [N10],
    ),
    Axes("DEISMultistepScheduler", {"trained_betas": TRAINED, "num_train_timesteps": [100]}, [N10]),
]
SA = [
    *curved("SASolverScheduler", USUAL, [N10, N33]),
    Axes(
        "SASolverScheduler",
        {
            **BASE,
            "prediction_type": KINDS,
            "predictor_order": [1, 2, 3],
            "corrector_order": [1, 2, 3],
            "algorithm_type": ["data_prediction", "noise_prediction"],
            "lower_order_final": BOTH,
        },
        [N10],
        begin=[0, 4],
    ),
    Axes(
        "SASolverScheduler",
        {**BASE, "tau_func": [lambda t: 0.0, lambda t: 0.7, lambda t: float(t) / 1000]},
        [N10],
    ),
    Axes(
        "SASolverScheduler",
        {
            "use_flow_sigmas": [True],
            "flow_shift": [1.0, 3.0],
            "prediction_type": [*KINDS, "flow_prediction"],
        },
        [N10],
    ),
    Axes(
        "SASolverScheduler",
        {"thresholding": [True], "sample_max_value": [1.0, 2.0], "prediction_type": KINDS},
        [N10],
    ),
    Axes("SASolverScheduler", {"trained_betas": TRAINED, "num_train_timesteps": [100]}, [N10]),
]
AXES = [*UNI, *DEIS, *SA]
