# SPDX-License-Identifier: Apache-2.0
"""What the preconditioned schedulers, the flows and iPNDM are compared on."""

import torch
from parity import Axes
from parity_axes import BOTH, N10, N33

TWO = ["epsilon", "v_prediction"]
ENDS = ["zero", "sigma_min"]
CURVE = {
    "sigma_schedule": ["karras", "exponential"],
    "prediction_type": TWO,
    "final_sigmas_type": ENDS,
    "sigma_max": [20.0, 80.0],
    "sigma_data": [0.5, 1.0],
    "rho": [5.0, 7.0],
}
RAMP = torch.tensor([0.0, 0.3, 1.0])
CHURN = {"s_churn": 5.0, "s_noise": 1.01, "s_tmin": 0.1, "s_tmax": 20.0}
EDM = [
    Axes("EDMEulerScheduler", CURVE, [N10, N33], step=[{}, CHURN], begin=[0, 4]),
    Axes(
        "EDMEulerScheduler", {"prediction_type": TWO}, [{"sigmas": torch.tensor([0.0, 0.3, 1.0])}]
    ),
    Axes(
        "EDMDPMSolverMultistepScheduler",
        {
            **CURVE,
            "rho": [7.0],
            "algorithm_type": ["dpmsolver++"],
            "solver_order": [1, 2, 3],
            "solver_type": ["midpoint", "heun"],
        },
        [N10, N33],
    ),
    Axes(
        "EDMDPMSolverMultistepScheduler",
        {
            **CURVE,
            "rho": [7.0],
            "algorithm_type": ["sde-dpmsolver++"],
            "solver_order": [1, 2],
            "solver_type": ["midpoint", "heun"],
        },
        [N10, N33],
    ),
    Axes(
        "EDMDPMSolverMultistepScheduler",
        {
            "prediction_type": TWO,
            "thresholding": BOTH,
            "lower_order_final": BOTH,
            "euler_at_final": BOTH,
            "final_sigmas_type": ENDS,
            "solver_order": [2, 3],
        },
        [N10, N33],
        begin=[0, 4],
    ),
    Axes(
        "CMStochasticIterativeScheduler",
        {
            "sigma_max": [20.0, 80.0],
            "sigma_data": [0.5, 1.0],
            "s_noise": [1.0, 1.1],
            "rho": [5.0, 7.0],
            "clip_denoised": BOTH,
        },
        [{"num_inference_steps": n} for n in (1, 2, 10, 40)] + [{"timesteps": [39, 20, 0]}],
    ),
    Axes("IPNDMScheduler", {}, [{"num_inference_steps": n} for n in (1, 2, 5, 10, 33, 100)]),
    Axes("IPNDMScheduler", {}, [N33], begin=[4, 30]),
]
AXES = EDM
