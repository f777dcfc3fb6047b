# SPDX-License-Identifier: Apache-2.0
"""Heun, DPM-2 and its ancestral form: two calls per step.

The schedules list each call: t_0, t_1, t_1, t_2, t_2, … for Heun, a time in between for DPM-2.
A run may begin at any call, which is then the first of a step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pydiffcore.adapters.diffusers import betas, spacing
from pydiffcore.adapters.diffusers.family import Family, placed, sigma_noising
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes.euler import gamma_of
from pydiffcore.adapters.diffusers.routes.sigma import (
    curve,
    doubled,
    ended,
    input_scale,
    levels,
    no_curve,
    one_of,
    recipe_of,
    sigma_table,
)

__all__ = ["FAMILIES", "FIRST", "refuse_half"]

Options = Mapping[str, Any]
CHURN = {"s_churn": 0.0, "s_tmin": 0.0, "s_tmax": math.inf, "s_noise": 1.0, "generator": None}

# ------------------------------------------------------------------------------------------ Heun


def heun(
    x: Any, denoise: Any, levels: Any, noise: Any, *, gammas: Sequence[float], s_noise: float
) -> Any:
    """Heun's method; churn adds its noise after the first call of a step, whose D it keeps.

    From x̂ = x + s_noise·sqrt(σ̂² − σ²) z, σ̂ = (1 + γ)σ, D(x; σ) stands for D(x̂; σ̂): it is the
    better estimate, for D(x̂; σ̂) = E[D(x; σ) | x̂].  Karras et al. 2022 (arXiv 2206.00364),
    Algorithm 2 with that.
    """
    visited = list(levels.steps())
    for i in range(0, len(visited), 2):
        sigma, sigma_next = visited[i]
        D, hat = denoise(x, sigma), sigma * (1 + gammas[i])
        if gammas[i] > 0:
            r = s_noise * math.sqrt((hat - sigma) * (hat + sigma))
            x = x + r * noise(sigma, hat)
        y = D + (sigma_next / hat) * (x - D)
        if i + 1 < len(visited):
            both = (x - D) / hat + (y - denoise(y, sigma_next)) / sigma_next
            y = x + (sigma_next - hat) / 2 * both
        x = y
    return x


def heun_setup(s: Any) -> dict[str, Any]:
    made = sigma_table(s, (*betas.USUAL, "exp"))
    s.alphas_cumprod = made["alphas_cumprod"]
    N = s.config.num_train_timesteps
    return {**made, **heun_schedule(s, N, N, None), "use_karras_sigmas": s.config.use_karras_sigmas}


def heun_schedule(
    s: Any,
    num_inference_steps: int | None,
    num_train_timesteps: int | None,
    timesteps: Sequence[float] | None,
) -> dict[str, Any]:
    one_of(num_inference_steps=num_inference_steps, timesteps=timesteps)
    if timesteps is not None:
        no_curve(s.config, "timesteps")
    n = num_inference_steps or (0 if timesteps is None else len(timesteps))
    at, between, table = levels(s, n, timesteps, num_train_timesteps or 0)
    at, between = curve(s, at, between, table, n)
    steps = placed(at, torch.float32)
    return {
        "num_inference_steps": n,
        "sigmas": doubled(ended(between)),
        "timesteps": torch.cat([steps[:1], steps[1:].repeat_interleave(2)]),
    }


def refuse_half(s: Any) -> None:
    """Refuse timesteps that the caller cut between the two calls of a step.

    Raises:
        ValueError: they were.

    """
    cut = len(s.sigmas) > len(s.timesteps) + 1
    if cut and len(s.timesteps) > 1 and bool(s.timesteps[0] == s.timesteps[1]):
        raise ValueError(
            f"timesteps begin with {s.timesteps[:2].tolist()}, in the middle of a step: expected "
            "them to be cut at an even place, or set_begin_index"
        )


def heun_recipe(s: Any, begin: int, options: Options) -> Recipe:
    refuse_half(s)
    sigma = s.sigmas.tolist()[begin:]
    gammas = tuple(gamma_of(each, s.num_inference_steps, options) for each in sigma[:-1])
    clip = s.config.clip_sample_range
    return recipe_of(
        s, heun, sigma, {"gammas": gammas, "s_noise": options["s_noise"]}, begin,
        clip=(-clip, clip) if s.config.clip_sample else None,
    )  # fmt: skip


# ----------------------------------------------------------------------------------------- DPM-2


def dpm_2(
    x: Any, denoise: Any, levels: Any, noise: Any, *, middle: Sequence[float],
    down: Sequence[float], up: Sequence[float],
) -> Any:  # fmt: skip
    """The midpoint method: Karras et al. 2022 (arXiv 2206.00364), appendix C.2, with σ between.

    x' = x + (σ_down − σ) d(x_m; σ_m) + σ_up·z with x_m = x + (σ_m − σ) d(x; σ), d = (x − D)/σ.
    """
    visited = list(levels.steps())
    for i in range(0, len(visited), 2):
        sigma, at = visited[i][0], middle[i]
        D = denoise(x, sigma)
        y = D + (at / sigma) * (x - D)
        if i + 1 < len(visited):
            if at == 0:  # nothing is left to step over; the call is made all the same
                denoise(y, sigma)
                return y
            y = x + (down[i] - sigma) / at * (y - denoise(y, at))
            if up[i] > 0:
                y = y + up[i] * noise(sigma, visited[i][1])
        x = y
    return x


def dpm_2_setup(s: Any) -> dict[str, Any]:
    made = sigma_table(s)
    s.alphas_cumprod = made["alphas_cumprod"]
    N = s.config.num_train_timesteps
    return {**made, **dpm_2_schedule(s, N, N)}


def dpm_2_levels(s: Any, n: int, train: int | None) -> tuple[Any, torch.Tensor, Any]:
    at, between, table = levels(s, n, None, train or 0)
    at, between = curve(s, at, between, table, n, whole=True)
    return torch.from_numpy(np.array(at)), ended(between), table


def dpm_2_schedule(
    s: Any, num_inference_steps: int, num_train_timesteps: int | None
) -> dict[str, Any]:
    at, sigmas, table = dpm_2_levels(s, num_inference_steps, num_train_timesteps)
    between = sigmas.log().lerp(sigmas.roll(1).log(), 0.5).exp()
    return {
        "num_inference_steps": num_inference_steps,
        "log_sigmas": torch.from_numpy(table),
        "sigmas": twice(sigmas),
        "sigmas_interpol": twice(between),
        "timesteps": interleaved(at, between[1:-1], table),
    }


def twice(values: torch.Tensor) -> torch.Tensor:
    """Return all but the first twice and the last once more."""
    return torch.cat([values[:1], values[1:].repeat_interleave(2), values[-1:]])


def interleaved(at: torch.Tensor, between: torch.Tensor, table: Any) -> torch.Tensor:
    """Return t_0, and a time between and the next one, over and over."""
    found = torch.from_numpy(spacing.sigma_to_t(between.numpy(), table)).to(at.dtype)
    return torch.cat([at[:1], torch.stack((found[:, None], at[1:, None]), dim=-1).flatten()])


def dpm_2_recipe(s: Any, begin: int, options: Options) -> Recipe:
    end = len(s.timesteps) + 1
    sigma, middle = s.sigmas.tolist()[begin:end], s.sigmas_interpol.tolist()[begin:end]
    down = tuple(sigma[1:])
    rows = {"middle": tuple(middle[1:]), "down": down, "up": (0.0,) * len(down)}
    return recipe_of(s, dpm_2, sigma, rows, begin)


def dpm_2_ancestral_schedule(
    s: Any, num_inference_steps: int, num_train_timesteps: int | None
) -> dict[str, Any]:
    at, sigmas, table = dpm_2_levels(s, num_inference_steps, num_train_timesteps)
    after = sigmas.roll(-1)
    after[-1] = 0.0
    up = (after**2 * (sigmas**2 - after**2) / sigmas**2) ** 0.5
    down = (after**2 - up**2) ** 0.5
    exact = after.double() ** 2 / sigmas.double()  # where float32 leaves nothing of the difference
    down = torch.where((down > 0) | (exact == 0), down, exact.float())
    down[-1] = 0.0
    between = sigmas.log().lerp(down.log(), 0.5).exp()
    between[-2:] = 0.0
    return {
        "num_inference_steps": num_inference_steps,
        "log_sigmas": torch.from_numpy(table),
        "sigmas": twice(sigmas),
        "sigmas_interpol": twice(between),
        "sigmas_up": twice(up),
        "sigmas_down": twice(down),
        "timesteps": interleaved(at, between[:-2], table),
    }


def dpm_2_ancestral_setup(s: Any) -> dict[str, Any]:
    made = sigma_table(s)
    s.alphas_cumprod = made["alphas_cumprod"]
    N = s.config.num_train_timesteps
    return {**made, **dpm_2_ancestral_schedule(s, N, N)}


BETWEEN = ("sigmas_interpol", "sigmas_down", "sigmas_up")


def dpm_2_ancestral_recipe(s: Any, begin: int, options: Options) -> Recipe:
    end = len(s.timesteps)
    rows = {
        name: tuple(getattr(s, of).tolist()[begin:end])
        for name, of in (
            ("middle", "sigmas_interpol"),
            ("down", "sigmas_down"),
            ("up", "sigmas_up"),
        )
    }
    return recipe_of(s, dpm_2, s.sigmas.tolist()[begin : end + 1], rows, begin)


def first_of_step(s: Any, index: int) -> bool:
    """Whether a call is the first of its step, counted from where the run began."""
    return (index - s._first) % 2 == 0


def state_in_first_order(s: Any) -> bool:
    """Whether the call to come is the first of its step."""
    index = s.step_index
    return index is None or first_of_step(s, index)


FIRST = {"state_in_first_order": property(state_in_first_order)}


def dpm_2_scale(s: Any, index: int) -> float:
    sigma = s.sigmas[index] if first_of_step(s, index) else s.sigmas_interpol[index]
    return float((sigma.item() ** 2 + 1) ** -0.5)


def dpm_2_ancestral_scale(s: Any, index: int) -> float:
    sigma = s.sigmas[index] if first_of_step(s, index) else s.sigmas_interpol[index - 1]
    return float((sigma.item() ** 2 + 1) ** -0.5)


COMMON: dict[str, Any] = {"early": True, "noising": sigma_noising, "members": FIRST}
FAMILIES = {
    "HeunDiscreteScheduler": Family(
        setup=heun_setup,
        schedule=heun_schedule,
        recipe=heun_recipe,
        input_scale=input_scale,
        options=("s_churn", "s_tmin", "s_tmax", "s_noise"),
        extra=CHURN,
        output="HeunDiscreteSchedulerOutput",
        **COMMON,
    ),
    "KDPM2DiscreteScheduler": Family(
        setup=dpm_2_setup,
        schedule=dpm_2_schedule,
        recipe=dpm_2_recipe,
        kinds=("epsilon", "v_prediction"),
        missing=("sample",),
        input_scale=dpm_2_scale,
        local=("sigmas_interpol", "log_sigmas"),
        output="KDPM2DiscreteSchedulerOutput",
        **COMMON,
    ),
    "KDPM2AncestralDiscreteScheduler": Family(
        setup=dpm_2_ancestral_setup,
        schedule=dpm_2_ancestral_schedule,
        recipe=dpm_2_ancestral_recipe,
        kinds=("epsilon", "v_prediction"),
        missing=("sample",),
        input_scale=dpm_2_ancestral_scale,
        draws=lambda s, index, t, options: not first_of_step(s, index),
        local=("log_sigmas", *BETWEEN),
        output="KDPM2AncestralDiscreteSchedulerOutput",
        **COMMON,
    ),
}
