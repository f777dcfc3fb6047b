# SPDX-License-Identifier: Apache-2.0
"""What the schedulers are compared on: constructor arguments, timesteps and steps of each class."""

from parity import Axes

BETAS = ["linear", "scaled_linear", "squaredcos_cap_v2"]
SPACINGS = ["linspace", "leading", "trailing"]
KINDS = ["epsilon", "sample", "v_prediction"]
TWO = ["epsilon", "v_prediction"]
BOTH = [False, True]
USUAL = {"beta_schedule": BETAS, "timestep_spacing": SPACINGS, "prediction_type": KINDS}
N10, N33 = {"num_inference_steps": 10}, {"num_inference_steps": 33}
CURVES = ["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"]
TRAINED = [[1e-4 * (i + 1) for i in range(100)]]


def curved(name, config, timesteps, **rest):
    """Without a curve of sigmas, and with each."""
    return [
        Axes(name, {**config, **curve}, timesteps, **rest)
        for curve in ({}, *({each: [True]} for each in CURVES))
    ]


EULER = [
    *curved(
        "EulerDiscreteScheduler",
        {**USUAL, "final_sigmas_type": ["zero", "sigma_min"]},
        [N10, N33],
        step=[{}, {"s_churn": 5.0, "s_noise": 1.01, "s_tmin": 0.1, "s_tmax": 20.0}],
    ),
    Axes(
        "EulerDiscreteScheduler",
        {
            **USUAL,
            "interpolation_type": ["linear", "log_linear"],
            "rescale_betas_zero_snr": BOTH,
            "timestep_type": ["discrete", "continuous"],
            "steps_offset": [1],
        },
        [N10],
    ),
    Axes(
        "EulerDiscreteScheduler",
        {"use_karras_sigmas": [True], "sigma_min": [None, 0.1], "sigma_max": [None, 50.0]},
        [N10],
    ),
    Axes(
        "EulerDiscreteScheduler",
        {"beta_schedule": BETAS, "prediction_type": KINDS},
        [{"timesteps": [900, 700, 500, 100, 3]}, {"sigmas": [10.0, 5.0, 1.0, 0.1, 0.0]}],
    ),
    Axes("EulerDiscreteScheduler", USUAL, [N10], begin=[4]),
    Axes(
        "EulerAncestralDiscreteScheduler",
        {
            **USUAL,
            "prediction_type": TWO,
            "rescale_betas_zero_snr": BOTH,
            "steps_offset": [0, 1],
        },
        [N10, N33],
        begin=[0, 4],
    ),
]
STAGES = [
    *curved(
        "HeunDiscreteScheduler",
        {**USUAL, "beta_schedule": [*BETAS, "exp"], "clip_sample": BOTH},
        [N10],
        begin=[0, 8],
    ),
    Axes("HeunDiscreteScheduler", USUAL, [{"timesteps": [900, 700, 500, 100, 3]}]),
    *curved("KDPM2DiscreteScheduler", {**USUAL, "prediction_type": TWO}, [N10, N33], begin=[0, 8]),
    *curved(
        "KDPM2AncestralDiscreteScheduler",
        {**USUAL, "prediction_type": TWO},
        [N10, N33],
        begin=[0, 8],
    ),
    *curved(
        "LMSDiscreteScheduler",
        {**USUAL, "steps_offset": [0, 1]},
        [N10],
        step=[{}, {"order": 2}],
        begin=[0, 4],
    ),
]
TABLE = [
    Axes(
        "DDIMScheduler",
        {**USUAL, "clip_sample": BOTH, "thresholding": BOTH},
        [N10, N33],
        step=[{}, {"eta": 0.5}, {"eta": 1.0, "use_clipped_model_output": True}],
        begin=[0, 4],
    ),
    Axes(
        "DDIMScheduler",
        {**USUAL, "set_alpha_to_one": BOTH, "steps_offset": [0, 1], "clip_sample_range": [0.7]},
        [N10, {"num_inference_steps": 1}],
    ),
    Axes(
        "DDIMScheduler",
        {**USUAL, "prediction_type": ["sample", "v_prediction"], "rescale_betas_zero_snr": [True]},
        [N10, N33],
    ),
    Axes(
        "DDPMScheduler",
        {
            **USUAL,
            "beta_schedule": [*BETAS, "laplace", "sigmoid"],
            "clip_sample": BOTH,
            "thresholding": BOTH,
            "variance_type": ["fixed_small", "fixed_small_log", "fixed_large"],
        },
        [N10, N33],
    ),
    Axes(
        "DDPMScheduler",
        {**USUAL, "variance_type": ["learned", "learned_range"], "steps_offset": [0, 1]},
        [N10],
        begin=[0, 4],
    ),
    Axes(
        "DDPMScheduler",
        {"prediction_type": KINDS, "beta_schedule": BETAS, "rescale_betas_zero_snr": BOTH},
        [{"timesteps": [900, 700, 500, 100, 3]}, {"num_inference_steps": 1000}],
    ),
    Axes("DDPMScheduler", {"trained_betas": TRAINED, "num_train_timesteps": [100]}, [N10]),
]
PNDM = [
    Axes(
        "PNDMScheduler",
        {
            **USUAL,
            "prediction_type": TWO,
            "skip_prk_steps": BOTH,
            "set_alpha_to_one": BOTH,
            "steps_offset": [0, 1],
        },
        [N10, N33],
    ),
]
FEW = [{"num_inference_steps": n} for n in (1, 4, 10)]
CUSTOM = {"timesteps": [999, 759, 499, 259]}
CONSISTENCY = [
    Axes(
        "LCMScheduler",
        {
            "beta_schedule": BETAS,
            "prediction_type": KINDS,
            "clip_sample": BOTH,
            "thresholding": BOTH,
            "timestep_scaling": [10.0, 0.01],
        },
        [*FEW, {**FEW[1], "strength": 0.6}, CUSTOM, {**FEW[1], "original_inference_steps": 20}],
        begin=[0],
    ),
    Axes(
        "TCDScheduler",
        {"beta_schedule": BETAS, "prediction_type": KINDS, "set_alpha_to_one": BOTH},
        [*FEW, {**FEW[1], "strength": 0.6}, CUSTOM],
        step=[{}, {"eta": 0.0}, {"eta": 1.0}],
    ),
    Axes("LCMScheduler", {"beta_schedule": BETAS}, FEW[2:], begin=[3]),
    Axes("TCDScheduler", {"beta_schedule": BETAS}, FEW[2:], begin=[3]),
]
SDE_VE = [
    Axes(
        "ScoreSdeVeScheduler",
        {"num_train_timesteps": [30, 200], "sigma_max": [1348.0, 50.0]},
        [{"num_inference_steps": 30}],
    ),
]
AXES = [*EULER, *STAGES, *TABLE, *PNDM, *CONSISTENCY, *SDE_VE]
