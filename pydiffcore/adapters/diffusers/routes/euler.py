# SPDX-License-Identifier: Apache-2.0
"""Euler and its ancestral form."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pydiffcore.adapters.diffusers import spacing
from pydiffcore.adapters.diffusers.family import Family, placed, sigma_noising
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes.linear import Step, affine
from pydiffcore.adapters.diffusers.routes.sigma import (
    curve,
    ended,
    input_scale,
    levels,
    no_curve,
    one_of,
    recipe_of,
    sigma_table,
)

__all__ = ["FAMILIES", "churned", "gamma_of"]

Options = Mapping[str, Any]


def continuous(config: Mapping[str, Any]) -> bool:
    """Whether timesteps are ln(σ)/4 instead of indices."""
    return config["timestep_type"] == "continuous" and config["prediction_type"] == "v_prediction"


def log_levels(sigmas: torch.Tensor) -> torch.Tensor:
    return 0.25 * sigmas.log()


def euler_setup(s: Any) -> dict[str, Any]:
    made = sigma_table(s)
    N = s.config.num_train_timesteps
    sigmas = placed(spacing.sigmas_of(made["alphas_cumprod"])[::-1], torch.float32)
    at = placed(np.arange(N)[::-1], torch.float32)
    return {
        **made,
        "num_inference_steps": None,
        "timesteps": log_levels(sigmas) if continuous(s.config) else at,
        "sigmas": torch.cat([sigmas, torch.zeros(1)]),
        "is_scale_input_called": False,
        "use_karras_sigmas": s.config.use_karras_sigmas,
        "use_exponential_sigmas": s.config.use_exponential_sigmas,
        "use_beta_sigmas": s.config.use_beta_sigmas,
    }


def euler_schedule(
    s: Any,
    num_inference_steps: int | None,
    timesteps: Sequence[float] | None,
    sigmas: Sequence[float] | None,
) -> dict[str, Any]:
    one_of(num_inference_steps=num_inference_steps, timesteps=timesteps, sigmas=sigmas)
    if timesteps is not None:
        no_curve(s.config, "timesteps")
        if continuous(s.config):
            raise ValueError("timesteps cannot be set where timestep_type is 'continuous'")
    if sigmas is not None:
        n = len(sigmas) - 1
        visited = placed(np.asarray(sigmas, np.float32), torch.float32)
        table = np.log(spacing.sigmas_of(s.alphas_cumprod))
        at = spacing.sigma_to_t(visited.numpy()[:-1], table)
    else:
        n = len(timesteps) if timesteps is not None else int(num_inference_steps or 0)
        at, between, table = levels(s, n, timesteps)
        if s.config.interpolation_type == "log_linear":
            between = torch.linspace(float(table[-1]), float(table[0]), n + 1).exp().numpy()
        elif s.config.interpolation_type != "linear":
            raise ValueError(
                f"interpolation_type is {s.config.interpolation_type!r}, expected 'linear' or "
                "'log_linear'"
            )
        at, between = curve(s, at, between, table, n)
        visited = ended(between, last_of(s))
    steps = log_levels(visited[:-1]) if continuous(s.config) else placed(at, torch.float32)
    return {
        "timesteps": steps, "sigmas": visited, "num_inference_steps": n,
        "is_scale_input_called": s.is_scale_input_called,
    }  # fmt: skip


def last_of(s: Any) -> float:
    """Return the level that the last step ends at.

    Raises:
        ValueError: final_sigmas_type is neither of the two.

    """
    kind = s.config.final_sigmas_type
    if kind not in ("zero", "sigma_min"):
        raise ValueError(f"final_sigmas_type is {kind!r}, expected 'zero' or 'sigma_min'")
    bar = s.alphas_cumprod[0]
    return 0.0 if kind == "zero" else float(((1 - bar) / bar) ** 0.5)


def gamma_of(sigma: float, n: int, options: Options) -> float:
    """Karras et al. 2022 (arXiv 2206.00364), Algorithm 2: γ = min(S_churn/n, √2 − 1) in range."""
    if not options["s_tmin"] <= sigma <= options["s_tmax"]:
        return 0.0
    return min(options["s_churn"] / n, math.sqrt(2) - 1)


def churned(sigma: float, sigma_next: float, gamma: float, kind: str, s_noise: float) -> Step:
    """Euler's step from σ̂ = σ(1 + γ), with noise that is added after the network's call at σ.

    x̂ = x + r·z; the noise that was predicted at σ is taken for that at σ̂, so that D̂ = x̂ − σ̂·F
    for epsilon, and D̂ = c_skip·x̂ + c_out·F with the coefficients of σ for v.
    """
    hat = sigma * (1 + gamma)
    r = s_noise * math.sqrt((hat - sigma) * (hat + sigma))
    rho = sigma_next / hat
    if kind == "epsilon":
        second = (1 - hat / sigma, hat / sigma, r)
    else:
        second = (0.0, 1.0, r / (1 + sigma**2) if kind == "v_prediction" else 0.0)
    p, q, w = second
    return Step(rho + (1 - rho) * p, (1 - rho) * q, 0.0, rho * r + (1 - rho) * w, second)


def euler_recipe(s: Any, begin: int, options: Options) -> Recipe:
    sigma = s.sigmas.tolist()
    n, kind = len(sigma) - 1, s.config.prediction_type
    steps = [
        churned(a, b, gamma_of(a, n, options), kind, options["s_noise"])
        for a, b in itertools.pairwise(sigma[begin:])
    ]
    second = None if options["s_churn"] == 0 else tuple(step.second for step in steps)
    return recipe_of(s, affine, sigma[begin:], {"rows": tuple(steps)}, begin, second=second)


def euler_draws(s: Any, index: int, t: Any, options: Options) -> bool:
    sigma = s.sigmas[index].item()
    return options["s_churn"] > 0 and gamma_of(sigma, len(s.sigmas) - 1, options) > 0


# ------------------------------------------------------------------------------------- ancestral


def ancestral_setup(s: Any) -> dict[str, Any]:
    made = sigma_table(s)
    at = np.arange(s.config.num_train_timesteps, dtype=np.float64)[::-1]
    return {
        **made,
        "num_inference_steps": None,
        "timesteps": placed(at, torch.float64),
        "sigmas": ended(spacing.sigmas_of(made["alphas_cumprod"])[::-1]),
        "is_scale_input_called": False,
    }


def ancestral_schedule(s: Any, num_inference_steps: int) -> dict[str, Any]:
    at, between, _ = levels(s, num_inference_steps)
    return {
        "timesteps": placed(at, torch.float32), "sigmas": ended(between),
        "num_inference_steps": num_inference_steps,
    }  # fmt: skip


def up_and_down(sigma: float, sigma_next: float) -> tuple[float, float]:
    """The posterior's deviation, and what is left of σ_next: Song et al. 2021, eq. 16 at η = 1."""
    up = sigma_next * math.sqrt(max((sigma - sigma_next) * (sigma + sigma_next), 0.0)) / sigma
    return up, sigma_next**2 / sigma


def ancestral_recipe(s: Any, begin: int, options: Options) -> Recipe:
    sigma = s.sigmas.tolist()[begin:]
    steps = []
    for a, b in itertools.pairwise(sigma):
        up, down = up_and_down(a, b)
        steps.append(Step(down / a, 1 - down / a, 0.0, up))
    return recipe_of(s, affine, sigma, {"rows": tuple(steps)}, begin)


FAMILIES = {
    "EulerDiscreteScheduler": Family(
        setup=euler_setup,
        schedule=euler_schedule,
        recipe=euler_recipe,
        kinds=("epsilon", "sample", "original_sample", "v_prediction"),
        integers=False,
        early=True,
        input_scale=input_scale,
        noising=sigma_noising,
        draws=euler_draws,
        options=("s_churn", "s_tmin", "s_tmax", "s_noise"),
        upcasts=True,
        output="EulerDiscreteSchedulerOutput",
    ),
    "EulerAncestralDiscreteScheduler": Family(
        setup=ancestral_setup,
        schedule=ancestral_schedule,
        recipe=ancestral_recipe,
        kinds=("epsilon", "v_prediction"),
        missing=("sample",),
        integers=False,
        early=True,
        input_scale=input_scale,
        noising=sigma_noising,
        draws=lambda s, index, t, options: True,
        upcasts=True,
        output="EulerAncestralDiscreteSchedulerOutput",
    ),
}
