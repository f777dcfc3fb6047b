# SPDX-License-Identifier: Apache-2.0
"""Rectified flow: X = (1 − σ)·x0 + σ·z, whose network predicts the velocity z − x0.

Steps are written in the caller's frame, with F itself in the place of D: X' = X + (σ' − σ)·F.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pydiffcore.adapters.diffusers import spacing
from pydiffcore.adapters.diffusers.family import Family, indices
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes.euler import gamma_of
from pydiffcore.adapters.diffusers.routes.linear import Step, affine
from pydiffcore.adapters.diffusers.routes.log_snr import flow_sigmas, predicted
from pydiffcore.adapters.diffusers.routes.sigma import doubled
from pydiffcore.adapters.diffusers.routes.stages import FIRST, refuse_half

__all__ = ["FAMILIES"]

Options = Mapping[str, Any]
OUTPUT = predicted("sample", False)  # D is F


def recipe_of(sampler: Any, calls: int, **options: Any) -> Recipe:
    """Return a recipe that reads its levels from its options."""
    return Recipe(sampler, (1.0,) * (calls + 1), OUTPUT, options=tuple(options.items()))


def setup(s: Any) -> dict[str, Any]:
    N, shift = s.config.num_train_timesteps, s.config.shift
    spacing.checked_choice(s.config)
    kind = s.config.get("time_shift_type", "exponential")
    if kind not in ("exponential", "linear"):
        raise ValueError(f"time_shift_type is {kind!r}, expected 'exponential' or 'linear'")
    sigmas = torch.from_numpy(np.linspace(1, N, N, dtype=np.float32)[::-1].copy()) / N
    if not s.config.get("use_dynamic_shifting"):
        sigmas = shift * sigmas / (1 + (shift - 1) * sigmas)
    return {
        "_shift": shift,
        "num_inference_steps": None,
        "timesteps": sigmas * N,
        "sigmas": sigmas,
        "sigma_min": float(sigmas[-1]),
        "sigma_max": float(sigmas[0]),
    }


# ----------------------------------------------------------------------------------------- Euler


def length_of(n: int | None, sigmas: Any, timesteps: Any) -> int:
    """Return the number of steps.

    Raises:
        ValueError: lists of different lengths, or nothing was given.

    """
    lengths = {len(each) for each in (sigmas, timesteps) if each is not None}
    lengths |= set() if n is None else {n}
    if len(lengths) != 1:
        raise ValueError(
            f"num_inference_steps is {n}, sigmas {sigmas}, timesteps {timesteps}: expected the "
            "same length of all that are given"
        )
    return lengths.pop()


def shifted(s: Any, sigmas: Any, mu: float | None) -> Any:
    """Shift flow times by the configuration: constant, by mu, and stretched to its last one."""
    if s.config.use_dynamic_shifting:
        assert mu is not None
        factor = math.exp(mu) if s.config.time_shift_type == "exponential" else mu
        sigmas = factor / (factor + (1 / sigmas - 1))
    else:
        sigmas = flow_sigmas(sigmas, s.shift)
    if s.config.shift_terminal:
        sigmas = 1 - (1 - sigmas) / ((1 - sigmas[-1]) / (1 - s.config.shift_terminal))
    return sigmas


def euler_schedule(
    s: Any, num_inference_steps: int | None = None, sigmas: Any = None, mu: float | None = None,
    timesteps: Any = None,
) -> dict[str, Any]:  # fmt: skip
    if s.config.use_dynamic_shifting and mu is None:
        raise ValueError("mu is None, but use_dynamic_shifting is set")
    n, N = length_of(num_inference_steps, sigmas, timesteps), s.config.num_train_timesteps
    given = None if timesteps is None else np.array(timesteps).astype(np.float32)
    if sigmas is not None:
        at = np.array(sigmas).astype(np.float32)
    else:
        at = np.linspace(s.sigma_max * N, s.sigma_min * N, n) / N if given is None else given / N
    at = shifted(s, at, mu)
    curve = spacing.transformed(s.config, at, n)
    levels = torch.from_numpy(np.array(at if curve is None else curve)).to(torch.float32)
    times = levels * N if given is None else torch.from_numpy(given)
    if s.config.invert_sigmas:
        levels = 1.0 - levels
        times = levels * N
    last = torch.ones(1) if s.config.invert_sigmas else torch.zeros(1)
    return {"num_inference_steps": n, "timesteps": times, "sigmas": torch.cat([levels, last])}


def euler_recipe(s: Any, begin: int, options: Options) -> Recipe:
    sigma = s.sigmas.double().tolist()[begin:]
    if s.config.stochastic_sampling:
        rows = [Step(1 - b, -(1 - b) * a, 0.0, b) for a, b in itertools.pairwise(sigma)]
    else:
        rows = [Step(1.0, b - a) for a, b in itertools.pairwise(sigma)]
    return recipe_of(affine, len(rows), rows=tuple(rows))


def per_token(
    s: Any, output: Tensor, sample: Tensor, index: int, options: Options
) -> Tensor | None:
    """Step each token from its own time to the next lower one of the schedule, if that is asked.

    As in diffusers, X' = X + (σ − σ')·F with the opposite sign of a step of the whole sample.
    """
    times = options["per_token_timesteps"]
    if times is None:
        return None
    now = times / s.config.num_train_timesteps
    levels = s.sigmas.to(now.device)[:, None, None]
    after = ((levels < now[None] - 1e-6) * levels).amax(dim=0)
    now, after, sample = now[..., None], after[..., None], sample.float()
    if not s.config.stochastic_sampling:
        return sample + (now - after) * output
    from diffusers.utils.torch_utils import randn_tensor

    z = randn_tensor(sample.shape, generator=options["generator"], device=sample.device)
    return (1.0 - after) * (sample - now * output) + after * z


def scale_noise(s: Any, sample: Tensor, timestep: Tensor, noise: Tensor | None = None) -> Tensor:
    """Return σ·noise + (1 − σ)·sample at the timesteps, one per sample."""
    sigmas = s.sigmas.to(device=sample.device, dtype=sample.dtype)
    sigma = sigmas[indices(s, timestep, sample.device)]
    sigma = sigma.reshape(-1, *(1,) * (sample.ndim - 1))
    return sigma * noise + (1.0 - sigma) * sample


# ------------------------------------------------------------------------------------------ Heun


def heun_schedule(s: Any, num_inference_steps: int) -> dict[str, Any]:
    N = s.config.num_train_timesteps
    at = np.linspace(s.sigma_max * N, s.sigma_min * N, num_inference_steps) / N
    levels = torch.from_numpy(flow_sigmas(at, s.config.shift)).to(torch.float32)
    times = levels * N
    return {
        "num_inference_steps": num_inference_steps,
        "timesteps": torch.cat([times[:1], times[1:].repeat_interleave(2)]),
        "sigmas": doubled(torch.cat([levels, torch.zeros(1)])),
    }


def heun(
    x: Any,
    denoise: Any,
    levels: Any,
    noise: Any,
    *,
    rows: Sequence[tuple[float, float, float, float]],
) -> Any:
    """Heun's method in σ from σ̂ = σ(1 + γ); one call at each end, the last step has one.

    Each row is (σ, σ_next, γ, s_noise) of a call, first and second in turn.
    """
    for i, ((sigma, sigma_next, gamma, s_noise), (at, _)) in enumerate(
        zip(rows, levels.steps(), strict=True)
    ):
        F = denoise(x, at)
        if i % 2 == 0:
            hat = sigma * (1 + gamma)
            dt, start = sigma_next - hat, x
            if gamma > 0:
                r = s_noise * math.sqrt((hat - sigma) * (hat + sigma))
                start = x + r * noise(sigma, sigma_next)
            slope = (sigma / hat) * F
            x = start + dt * slope
        else:
            x = start + dt / 2 * slope + dt / 2 * F
    return x


def heun_recipe(s: Any, begin: int, options: Options) -> Recipe:
    refuse_half(s)
    sigma = s.sigmas.double().tolist()
    rows = []
    for i, (a, b) in enumerate(itertools.pairwise(sigma[begin:])):
        gamma = gamma_of(a, len(sigma) - 1, options) if i % 2 == 0 else 0.0
        rows.append((a, b, gamma, options["s_noise"]))
    return recipe_of(heun, len(rows), rows=tuple(rows))


def heun_draws(s: Any, index: int, timestep: Any, options: Options) -> bool:
    """Whether a call draws: the second of a step does too, though nothing is made of it."""
    at = index - (index - s._first) % 2
    return gamma_of(s.sigmas[at].item(), len(s.sigmas) - 1, options) > 0


def heun_scale_noise(s: Any, sample: Tensor, timestep: Any, noise: Tensor) -> Tensor:
    """Return σ·noise + (1 − σ)·sample at the step to come, or at the timestep before the first."""
    if s.step_index is None:
        s._init_step_index(timestep)
    sigma = s.sigmas[s.step_index]
    return sigma * noise + (1.0 - sigma) * sample


FAMILIES = {
    "FlowMatchEulerDiscreteScheduler": Family(
        setup=setup,
        schedule=euler_schedule,
        recipe=euler_recipe,
        integers=False,
        early=True,
        draws=lambda s, index, t, options: bool(s.config.stochastic_sampling),
        float32_noise=True,
        upcasts=True,
        second="",
        output="FlowMatchEulerDiscreteSchedulerOutput",
        outside=per_token,
        members={"scale_noise": scale_noise},
    ),
    "FlowMatchHeunDiscreteScheduler": Family(
        setup=setup,
        schedule=heun_schedule,
        recipe=heun_recipe,
        integers=False,
        early=True,
        draws=heun_draws,
        options=("s_churn", "s_tmin", "s_tmax", "s_noise"),
        upcasts=True,
        second="",
        output="FlowMatchHeunDiscreteSchedulerOutput",
        members={"scale_noise": heun_scale_noise, **FIRST},
    ),
}
