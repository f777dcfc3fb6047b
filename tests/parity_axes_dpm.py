# SPDX-License-Identifier: Apache-2.0
"""What the schedulers of the DPM-Solver family are compared on."""

from parity import Axes
from parity_axes import BETAS, BOTH, KINDS, N10, N33, SPACINGS, TRAINED, USUAL, curved

MULTI = "DPMSolverMultistepScheduler"
DATA, NOISE = ["dpmsolver++", "sde-dpmsolver++"], ["dpmsolver", "sde-dpmsolver"]
SOLVERS, ENDS = ["midpoint", "heun"], ["zero", "sigma_min"]
BASE = {"beta_schedule": ["scaled_linear"], "steps_offset": [1]}
# where the cosine table goes up to σ = 20000, as the documentation of the option says
CLIPPED = {"beta_schedule": ["squaredcos_cap_v2"], "lambda_min_clipped": [-5.1]}

DPM = [
    *curved(
        MULTI,
        {**USUAL, "algorithm_type": DATA, "solver_order": [2, 3], "final_sigmas_type": ENDS},
        [N10],
    ),
    *curved(
        MULTI,
        {
            **BASE,
            "prediction_type": KINDS,
            "algorithm_type": ["dpmsolver"],
            "final_sigmas_type": ["sigma_min"],
            "solver_order": [1, 2, 3],
            "solver_type": SOLVERS,
        },
        [N10, N33],
    ),
    Axes(
        MULTI,
        {
            **BASE,
            "prediction_type": KINDS,
            "algorithm_type": ["sde-dpmsolver"],
            "final_sigmas_type": ["sigma_min"],
            "solver_order": [1, 2],
            "solver_type": SOLVERS,
        },
        [N10, N33],
    ),
    Axes(
        MULTI,
        {
            **BASE,
            "prediction_type": KINDS,
            "algorithm_type": DATA,
            "solver_type": SOLVERS,
            "solver_order": [1, 2, 3],
            "lower_order_final": BOTH,
            "euler_at_final": BOTH,
            "final_sigmas_type": ENDS,
        },
        [N10, N33],
    ),
    Axes(
        MULTI,
        {**CLIPPED, "timestep_spacing": SPACINGS, "prediction_type": KINDS, "algorithm_type": DATA},
        [N10, N33],
    ),
    Axes(
        MULTI,
        {
            "beta_schedule": BETAS,
            "use_lu_lambdas": [True],
            "prediction_type": KINDS,
            "algorithm_type": DATA,
        },
        [N10],
    ),
    Axes(
        MULTI,
        {
            "use_flow_sigmas": [True],
            "flow_shift": [1.0, 3.0],
            "prediction_type": [*KINDS, "flow_prediction"],
            "algorithm_type": DATA,
            "solver_order": [2, 3],
        },
        [N10],
    ),
    Axes(
        MULTI,
        {
            **USUAL,
            "rescale_betas_zero_snr": [True],
            "thresholding": BOTH,
            "algorithm_type": DATA,
        },
        [N10],
    ),
    Axes(
        MULTI,
        {
            "thresholding": [True],
            "sample_max_value": [1.0, 2.0],
            "dynamic_thresholding_ratio": [0.9, 0.995],
            "algorithm_type": ["dpmsolver", *DATA],
            "final_sigmas_type": ["sigma_min"],
            "prediction_type": KINDS,
        },
        [N10],
    ),
    Axes(MULTI, {**BASE, "algorithm_type": DATA, "solver_order": [2, 3]}, [N10], begin=[4, 9]),
    Axes(
        MULTI,
        {**BASE, "algorithm_type": DATA, "solver_order": [2, 3]},
        [{"timesteps": [900, 700, 500, 100, 3]}, {"num_inference_steps": 1}],
    ),
    Axes(
        MULTI,
        {"trained_betas": TRAINED, "num_train_timesteps": [100], "algorithm_type": DATA},
        [N10],
    ),
]
ONE = "DPMSolverSinglestepScheduler"
SINGLE = [
    *curved(
        ONE,
        {
            "beta_schedule": BETAS,
            "prediction_type": KINDS,
            "algorithm_type": DATA,
            "solver_order": [2, 3],
            "final_sigmas_type": ENDS,
        },
        [N10, N33],
    ),
    Axes(
        ONE,
        {
            "beta_schedule": ["scaled_linear"],
            "prediction_type": KINDS,
            "algorithm_type": ["dpmsolver", *DATA],
            "solver_order": [1, 2, 3],
            "solver_type": SOLVERS,
            "lower_order_final": BOTH,
            "final_sigmas_type": ["sigma_min"],
        },
        [N10, {"num_inference_steps": 12}, N33],
    ),
    Axes(
        ONE,
        {**CLIPPED, "prediction_type": KINDS, "algorithm_type": DATA, "solver_order": [2, 3]},
        [N10, N33],
    ),
    Axes(
        ONE,
        {
            "use_flow_sigmas": [True],
            "flow_shift": [1.0, 3.0],
            "prediction_type": [*KINDS, "flow_prediction"],
            "algorithm_type": DATA,
            "solver_order": [2, 3],
        },
        [N10],
    ),
    Axes(
        ONE,
        {
            "thresholding": [True],
            "sample_max_value": [1.0, 2.0],
            "algorithm_type": DATA,
            "prediction_type": KINDS,
        },
        [N10],
    ),
    Axes(ONE, {"algorithm_type": DATA, "solver_order": [2, 3]}, [N10], begin=[4, 5, 9]),
    Axes(
        ONE,
        {"algorithm_type": DATA, "solver_order": [2, 3]},
        [{"timesteps": [900, 700, 500, 100, 3]}, {"num_inference_steps": 1}],
    ),
    Axes(ONE, {"trained_betas": TRAINED, "num_train_timesteps": [100]}, [N10]),
]
SDE = [
    *curved(
        "DPMSolverSDEScheduler",
        {
            "beta_schedule": BETAS,
            "timestep_spacing": SPACINGS,
            "prediction_type": ["epsilon", "v_prediction"],
            "noise_sampler_seed": [3],
        },
        [N10],
        step=[{}, {"s_noise": 1.1}],
    ),
    Axes(
        "DPMSolverSDEScheduler",
        {"noise_sampler_seed": [3], "steps_offset": [1], "timestep_spacing": ["leading"]},
        [{"num_inference_steps": n} for n in (1, 2, 33)],
    ),
    Axes("DPMSolverSDEScheduler", {"noise_sampler_seed": [3]}, [N10], begin=[4]),
]
AXES = [*DPM, *SINGLE, *SDE]
