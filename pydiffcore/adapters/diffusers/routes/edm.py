# SPDX-License-Identifier: Apache-2.0
"""Schedulers of networks preconditioned as in Karras et al. 2022 (arXiv 2206.00364), Table 1."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pydiffcore.adapters.diffusers.family import Family, sigma_noising
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes import log_snr
from pydiffcore.adapters.diffusers.routes.dpm import SOLVERS, stochastic
from pydiffcore.adapters.diffusers.routes.dpm_multi import dpm
from pydiffcore.adapters.diffusers.routes.euler import gamma_of
from pydiffcore.adapters.diffusers.routes.linear import Step, affine
from pydiffcore.prediction import Prediction

__all__ = ["FAMILIES"]

Options = Mapping[str, Any]
KINDS = ("epsilon", "v_prediction")  # v turns the sign of the network's output


def scalings(sigma: Any, data: float, kind: str, least: float = 0.0) -> tuple[Any, Any]:
    """c_skip and c_out; with ``least`` those that are 1 and 0 there: arXiv 2303.01469, eq. 9."""
    total = sigma**2 + data**2
    skip = data**2 / ((sigma - least) ** 2 + data**2)
    out = (sigma - least) * data / np.sqrt(total)
    return skip, -out if kind == "v_prediction" else out


@cache
def preconditioned(data: float, kind: str, least: float = 0.0) -> Prediction:
    """What the network's output means."""

    def coefficients(sigma: Any) -> Any:
        sigma = np.asarray(sigma, np.float64)
        skip, out = scalings(sigma, data, kind, least)
        return skip, out, 1 / np.hypot(sigma, data), np.zeros_like(sigma)

    return Prediction(f"edm(sigma_data={data}, kind={kind}, sigma_min={least})", coefficients)


def input_scale(s: Any, index: int) -> float:
    """1/sqrt(σ² + σ_data²)."""
    return float((s.sigmas[index].item() ** 2 + s.config.sigma_data**2) ** -0.5)


def levels_of(s: Any, ramp: Tensor) -> Tensor:
    """Return the levels at a ramp from 0 to 1, in its precision.

    Raises:
        ValueError: sigma_schedule is neither of the two.

    """
    low, high, rho = s.config.sigma_min, s.config.sigma_max, s.config.rho
    if s.config.sigma_schedule == "exponential":
        return torch.linspace(math.log(low), math.log(high), len(ramp)).exp().flip(0)
    if s.config.sigma_schedule != "karras":
        raise ValueError(
            f"sigma_schedule is {s.config.sigma_schedule!r}, expected 'karras' or 'exponential'"
        )
    a, b = low ** (1 / rho), high ** (1 / rho)
    return (b + ramp * (a - b)) ** rho


def timetable(s: Any, ramp: Tensor, least: float | None = None) -> dict[str, Tensor]:
    """Return timesteps ln(σ)/4 and the levels with the last one."""
    sigmas = levels_of(s, ramp).to(torch.float32)
    last = log_snr.last_level(s, float(sigmas[-1]) if least is None else least)
    return {
        "timesteps": 0.25 * torch.log(sigmas),
        "sigmas": torch.cat([sigmas, torch.tensor([last], dtype=torch.float32)]),
    }


# ----------------------------------------------------------------------------------------- Euler


def euler_setup(s: Any) -> dict[str, Any]:
    N = s.config.num_train_timesteps
    made = timetable(s, torch.arange(N + 1, dtype=torch.float64) / N)
    return {**made, "num_inference_steps": None, "is_scale_input_called": False}


def euler_schedule(
    s: Any, num_inference_steps: int | None = None, sigmas: Any = None
) -> dict[str, Any]:
    if sigmas is None:
        if num_inference_steps is None:
            raise ValueError("num_inference_steps is None, expected it or sigmas")
        ramp = torch.linspace(0, 1, num_inference_steps, dtype=torch.float64)
    else:
        ramp = torch.as_tensor(sigmas, dtype=torch.float64).reshape(-1).cpu()
    return {**timetable(s, ramp), "num_inference_steps": num_inference_steps}


def churned(
    sigma: float, sigma_next: float, gamma: float, scale: tuple[float, str, float], given: bool
) -> Step:
    """Euler's step from σ̂ = σ(1 + γ); D̂ = c_skip(σ̂)·x̂ + c_out(σ̂)·F of the network's call at σ.

    ``given``: the caller hands D̂ in.
    """
    data, kind, s_noise = scale
    hat = sigma * (1 + gamma)
    r = s_noise * math.sqrt((hat - sigma) * (hat + sigma))
    rho = sigma_next / hat
    if given:
        return Step(rho, 1 - rho, 0.0, rho * r)
    (skip, out), (skip_hat, out_hat) = (scalings(each, data, kind) for each in (sigma, hat))
    q = float(out_hat / out)
    second = (float(skip_hat) - q * float(skip), q, float(skip_hat) * r)
    p, q, w = second
    return Step(rho + (1 - rho) * p, (1 - rho) * q, 0.0, rho * r + (1 - rho) * w, second)


def euler_recipe(s: Any, begin: int, options: Options) -> Recipe:
    sigma = s.sigmas.double().tolist()
    given = options["pred_original_sample"] is not None
    scale = (s.config.sigma_data, s.config.prediction_type, options["s_noise"])
    steps = tuple(
        churned(a, b, gamma_of(a, len(sigma) - 1, options), scale, given)
        for a, b in itertools.pairwise(sigma[begin:])
    )
    plain = options["s_churn"] == 0 or given
    return Recipe(
        affine,
        tuple(sigma[begin:]),
        preconditioned(*scale[:2]),
        clip=(-1.0, 1.0) if given else None,
        options=(("rows", steps),),
        second=None if plain else tuple(step.second for step in steps),
    )


def euler_draws(s: Any, index: int, timestep: Any, options: Options) -> bool:
    return gamma_of(s.sigmas[index].item(), len(s.sigmas) - 1, options) > 0


# ----------------------------------------------------------------------------------- DPM-Solver++


def dpm_setup(s: Any) -> dict[str, Any]:
    log_snr.renamed(
        s,
        algorithm_type=(("dpmsolver++", "sde-dpmsolver++"), {"deis": "dpmsolver++"}),
        solver_type=(SOLVERS, dict.fromkeys(("logrho", "bh1", "bh2"), "midpoint")),
    )
    sigmas = levels_of(s, torch.linspace(0, 1, s.config.num_train_timesteps))
    return {
        "timesteps": 0.25 * torch.log(sigmas),
        "sigmas": torch.cat([sigmas, torch.zeros(1)]),
        "num_inference_steps": None,
        "is_scale_input_called": False,
        "model_outputs": [None] * s.config.solver_order,
        "lower_order_nums": 0,
    }


def dpm_schedule(s: Any, num_inference_steps: int) -> dict[str, Any]:
    return {
        **timetable(s, torch.linspace(0, 1, num_inference_steps), s.config.sigma_min),
        "num_inference_steps": num_inference_steps,
        "model_outputs": [None] * s.config.solver_order,
        "lower_order_nums": 0,
    }


def dpm_recipe(s: Any, begin: int, options: Options) -> Recipe:
    config, n = s.config, len(s.timesteps)
    few = config.lower_order_final and n < 15
    ends = config.euler_at_final or few or config.final_sigmas_type == "zero"
    orders = log_snr.orders_of(n - begin, config.solver_order, first_at_end=ends, lower_at_end=few)
    return Recipe(
        dpm,
        tuple(log_snr.levels_left(s, begin).tolist()),
        preconditioned(config.sigma_data, config.prediction_type),
        clip=(-1.0, 1.0) if config.thresholding else None,
        options=(
            ("orders", tuple(orders)), ("algorithm", config.algorithm_type),
            ("solver", config.solver_type),
        ),
    )  # fmt: skip


# ------------------------------------------------------------------------------------ consistency


def consistency_levels(s: Any, ramp: Any) -> Any:
    low, high, rho = s.config.sigma_min, s.config.sigma_max, s.config.rho
    a, b = low ** (1 / rho), high ** (1 / rho)
    return (b + ramp * (a - b)) ** rho


def consistency_setup(s: Any) -> dict[str, Any]:
    sigmas = consistency_levels(s, np.linspace(0, 1, s.config.num_train_timesteps))
    return {
        "init_noise_sigma": s.config.sigma_max,
        "num_inference_steps": None,
        "sigmas": torch.from_numpy(sigmas),
        "timesteps": torch.from_numpy(250.0 * np.log(sigmas + 1e-44)),
        "custom_timesteps": False,
        "is_scale_input_called": False,
    }


def consistency_schedule(
    s: Any, num_inference_steps: int | None = None, timesteps: Any = None
) -> dict[str, Any]:
    N = s.config.num_train_timesteps
    if (num_inference_steps is None) == (timesteps is None):
        raise ValueError("expected exactly one of num_inference_steps and timesteps")
    if num_inference_steps is None:
        at = np.array(timesteps, np.int64)
        if np.any(np.diff(at) >= 0):
            raise ValueError(f"timesteps are {timesteps}, expected descending ones")
        if at[0] >= N:
            raise ValueError(f"timesteps begin at {at[0]}, expected below {N}")
    elif num_inference_steps > N:
        raise ValueError(f"num_inference_steps is {num_inference_steps}, expected at most {N}")
    else:
        at = np.arange(num_inference_steps)[::-1] * (N // num_inference_steps)
    sigmas = consistency_levels(s, at[::-1] / (N - 1))
    ended = np.append(sigmas, s.config.sigma_min).astype(np.float32)
    made = {
        "sigmas": torch.from_numpy(ended),
        "timesteps": torch.from_numpy(250.0 * np.log(sigmas + 1e-44)),
        "custom_timesteps": timesteps is not None,
    }
    given = num_inference_steps is not None
    return {**made, "num_inference_steps": num_inference_steps} if given else made


def consistency_recipe(s: Any, begin: int, options: Options) -> Recipe:
    config, sigma = s.config, s.sigmas.double().tolist()
    low, high = config.sigma_min, config.sigma_max
    ends = [min(max(each, low), high) for each in sigma[begin + 1 :]]
    spread = config.s_noise * (len(s.timesteps) > 1)
    steps = [Step(0.0, 1.0, 0.0, spread * math.sqrt(max(e**2 - low**2, 0.0))) for e in ends]
    return Recipe(
        affine,
        tuple(sigma[begin:]),
        preconditioned(config.sigma_data, "epsilon", low),
        clip=(-1.0, 1.0) if config.clip_denoised else None,
        options=(("rows", tuple(steps)),),
    )


FAMILIES = {
    "EDMEulerScheduler": Family(
        setup=euler_setup,
        schedule=euler_schedule,
        recipe=euler_recipe,
        kinds=KINDS,
        integers=False,
        early=True,
        input_scale=input_scale,
        noising=sigma_noising,
        draws=euler_draws,
        options=("s_churn", "s_tmin", "s_tmax", "s_noise"),
        given="pred_original_sample",
        upcasts=True,
        output="EDMEulerSchedulerOutput",
    ),
    "EDMDPMSolverMultistepScheduler": Family(
        setup=dpm_setup,
        schedule=dpm_schedule,
        recipe=dpm_recipe,
        kinds=KINDS,
        input_scale=input_scale,
        noising=sigma_noising,
        draws=stochastic,
        second="",
        local=("model_outputs", "lower_order_nums"),
        members=log_snr.members,
    ),
    "CMStochasticIterativeScheduler": Family(
        setup=consistency_setup,
        schedule=consistency_schedule,
        recipe=consistency_recipe,
        integers=False,
        early=True,
        input_scale=input_scale,
        noising=sigma_noising,
        draws=lambda s, index, t, options: len(s.timesteps) > 1,
        second="",
        output="CMStochasticIterativeSchedulerOutput",
    ),
}
