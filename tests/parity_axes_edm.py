# SPDX-License-Identifier: Apache-2.0
"""What the preconditioned schedulers, the flows and iPNDM are compared on."""

import math

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


def curve(n):
    """The noise's share at n + 1 times: sines that begin at 1 and below, lines, a cliff."""
    rest = [1 - i / n for i in range(n + 1)]
    sines = [[math.sin(high * each) for each in rest] for high in (math.pi / 2, 1.3)]
    return [*sines, [0.98 * each for each in rest], [0.9 * each**4 for each in rest]]


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
    Axes("IPNDMScheduler", {"num_train_timesteps": [50, 1000]}, [N10, N33], begin=[0, 1, 9]),
    *(
        Axes("IPNDMScheduler", {"trained_betas": curve(n)}, [{"num_inference_steps": n}], begin=at)
        for n, at in ((1, [0]), (4, [0, 3]), (12, [0, 1, 5, 11]), (40, [0, 20]))
    ),
]
FLOW_EULER, FLOW_HEUN = "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"
CURVES = [{}, *({name: [True]} for name in (
    "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
))]  # fmt: skip
FLOW = [
    *(
        Axes(
            FLOW_EULER,
            {
                **curve,
                "shift": [1.0, 3.0],
                "shift_terminal": [None, 0.1],
                "invert_sigmas": BOTH,
                "stochastic_sampling": BOTH,
            },
            [N10, N33],
            begin=[0, 4],
        )
        for curve in CURVES
    ),
    Axes(
        FLOW_EULER,
        {
            "use_dynamic_shifting": [True],
            "time_shift_type": ["exponential", "linear"],
            "stochastic_sampling": BOTH,
        },
        [{"num_inference_steps": 10, "mu": mu} for mu in (0.5, 1.15)],
    ),
    Axes(
        FLOW_EULER,
        {"shift": [1.0, 3.0]},
        [
            {"sigmas": [1.0, 0.8, 0.5, 0.2, 0.1]},
            {"timesteps": [1000.0, 700.0, 300.0]},
            {"sigmas": [1.0, 0.5], "timesteps": [1000.0, 400.0]},
        ],
    ),
    Axes(
        FLOW_HEUN,
        {"shift": [1.0, 3.0], "num_train_timesteps": [1000, 100]},
        [{"num_inference_steps": n} for n in (2, 5, 10, 33)],
        step=[{}, {**CHURN, "s_tmax": 0.9}, {"s_churn": 100.0}],
        begin=[0, 2],
    ),
]
AXES = [*EDM, *FLOW]
