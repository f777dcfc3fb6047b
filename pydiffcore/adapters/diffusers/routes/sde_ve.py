# SPDX-License-Identifier: Apache-2.0
"""Predictor and corrector of the variance-exploding SDE: Song et al. 2021 (arXiv 2011.13456)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pydiffcore import prediction, process
from pydiffcore.adapters.diffusers.family import Family
from pydiffcore.adapters.diffusers.noise import drawn
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes.linear import Step, affine

__all__ = ["FAMILIES"]

SCORE = prediction.score(process.ve())


def setup(s: Any) -> dict[str, Any]:
    c = s.config
    s.timesteps = None
    set_sigmas(s, c.num_train_timesteps, c.sigma_min, c.sigma_max, c.sampling_eps)
    return {"init_noise_sigma": c.sigma_max}


def schedule(s: Any, num_inference_steps: int, sampling_eps: float | None) -> dict[str, Any]:
    low = s.config.sampling_eps if sampling_eps is None else sampling_eps
    return {"timesteps": torch.linspace(1, low, num_inference_steps)}


def set_sigmas(
    self: Any,
    num_inference_steps: int,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    sampling_eps: float | None = None,
) -> None:
    """Set the levels: σ_min (σ_max/σ_min)^t at the timesteps, and the table from σ_min to σ_max."""
    low = self.config.sigma_min if sigma_min is None else sigma_min
    high = self.config.sigma_max if sigma_max is None else sigma_max
    if self.timesteps is None:
        self.set_timesteps(num_inference_steps, sampling_eps)
    ends = math.log(low), math.log(high)
    self.discrete_sigmas = torch.exp(torch.linspace(*ends, num_inference_steps))
    self.sigmas = torch.tensor([low * (high / low) ** t for t in self.timesteps.tolist()])


def place_of(t: float, last: int, n: int) -> int:
    """Return which of n levels a time in [0, 1] has, in a schedule whose last index is given.

    Raises:
        IndexError: it has none.

    """
    place = np.float32(t) * np.float32(last)
    if not -n - 1 < place < n:
        raise IndexError(f"timestep is {t}, expected a time from 0 to 1")
    return int(place)


def recipe(s: Any, at: Sequence[float], options: Mapping[str, Any]) -> Recipe:
    """Reverse diffusion: X' = X + (σ² − σ'²) score + sqrt(σ² − σ'²) z, appendix E."""
    table, last = s.discrete_sigmas.tolist(), len(s.timesteps) - 1
    places = [place_of(t, last, len(table)) for t in at]
    ends = [(table[k], table[k - 1] if k else 0.0) for k in places]
    steps = []
    for sigma, below in ends:
        g2 = max((sigma - below) * (sigma + below), 0.0)
        a, b = 1 - g2 / sigma**2, g2 / sigma**2  # of D = x + σ² score
        steps.append(Step(a, b, 0.0, math.sqrt(g2), (a, b, 0.0)))
    return Recipe(
        affine,
        (*(sigma for sigma, _ in ends), ends[-1][1]),
        SCORE,
        options=(("rows", tuple(steps)),),
        labels=tuple(float(t) for t in at),
        second=tuple(step.second for step in steps),
    )


def step_correct(
    self: Any,
    model_output: Tensor,
    sample: Tensor,
    generator: Any = None,
    return_dict: bool = True,
) -> Any:
    """Langevin step of the signal-to-noise ratio snr, Algorithm 5; ε depends on the norms."""
    if self.timesteps is None:
        raise ValueError("timesteps is None: call set_timesteps before the first step")
    z = drawn(sample, {"generator": generator}, 1)[0].to(sample.device)
    norms = [each.reshape(len(each), -1).norm(dim=-1).mean() for each in (z, model_output)]
    size = (self.config.snr * norms[0] / norms[1]) ** 2 * 2
    result = sample + size * model_output + (size * 2) ** 0.5 * z
    from diffusers.schedulers.scheduling_utils import SchedulerOutput

    return SchedulerOutput(prev_sample=result) if return_dict else (result,)


def noising(s: Any, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    sigma = s.discrete_sigmas.to(like.device)[timesteps.to(like.device)]
    return torch.ones_like(sigma), sigma


def add_noise(self: Any, original_samples: Tensor, noise: Tensor | None, timesteps: Tensor) -> Any:
    """Return x0 + σ·noise; the noise is drawn where it is None."""
    from pydiffcore.adapters.diffusers.scheduler import Fused

    noise = torch.randn_like(original_samples) if noise is None else noise
    return Fused.add_noise(self, original_samples, noise, timesteps)


FAMILIES = {
    "ScoreSdeVeScheduler": Family(
        setup=setup,
        schedule=schedule,
        recipe=recipe,
        kinds=("epsilon",),
        by_time=True,
        early=True,
        noising=noising,
        draws=lambda s, index, t, options: True,
        output="SdeVeOutput",
        second="prev_sample_mean",
        step="step_pred",
        local=("discrete_sigmas",),
        members={"step_correct": step_correct, "set_sigmas": set_sigmas, "add_noise": add_noise},
    ),
}
