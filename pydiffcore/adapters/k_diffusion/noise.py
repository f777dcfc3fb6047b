# SPDX-License-Identifier: Apache-2.0
"""Noise of a run: the caller's noise_sampler, torch's generator, or seeds for the kernels' own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pydiffcore.plan import Plan

__all__ = ["Churn", "default_noise_sampler", "seeds_of", "told"]

WORD = 1 << 64
NoiseSampler = Callable[[Any, Any], Tensor]


def default_noise_sampler(x: Tensor) -> NoiseSampler:
    """Return ``noise_sampler(sigma, sigma_next)`` that draws with torch's global generator."""
    return lambda sigma, sigma_next: torch.randn_like(x)


def told(noise_sampler: NoiseSampler, plan: Plan, x: Tensor, sigmas: Tensor) -> NoiseSampler:
    """Return the noise sampler called with levels as scalars of the caller's dtype and device."""
    if not callable(noise_sampler):
        raise TypeError(
            f"noise_sampler is {type(noise_sampler).__name__}, expected a function of "
            "(sigma, sigma_next)"
        )
    values = sorted(set(plan.interval.ravel().tolist()))
    levels = dict(zip(values, sigmas.new_tensor(values).unbind(), strict=True))

    def noise(sigma: float, sigma_next: float) -> Tensor:
        z = noise_sampler(levels[sigma], levels[sigma_next])
        if not isinstance(z, Tensor) or z.shape != x.shape or z.device != x.device:
            what = f"{tuple(z.shape)} on {z.device}" if isinstance(z, Tensor) else type(z).__name__
            raise ValueError(
                f"noise_sampler returned {what}, expected {tuple(x.shape)} on {x.device}"
            )
        return z

    return noise


class Churn:
    """Churn's noise from torch's global generator: a draw per step, used or not.

    Args:
        x: gives shape, dtype and device.
        starts: first level of each step.

    """

    def __init__(self, x: Tensor, starts: Sequence[float]) -> None:
        self.x, self.step = x, {sigma: i for i, sigma in enumerate(starts)}
        self.drawn = 0

    def __call__(self, sigma: float, sigma_next: float) -> Tensor:
        self.skip(self.step[sigma])
        self.drawn += 1
        return torch.randn_like(self.x)

    def skip(self, step: int) -> None:
        """Draw what the steps before ``step`` leave unused."""
        for _ in range(self.drawn, step):
            torch.randn_like(self.x)
        self.drawn = max(self.drawn, step)


def seeds_of(seed: Any, batch: int) -> list[int]:
    """Return a seed per sample: a list's own, or seed, seed + 1, …; None asks torch's generator.

    Raises:
        ValueError, TypeError: not an integer, nor one integer per sample.

    """
    if seed is None:
        seed = int(torch.randint(0, 2**62, ()).item())
    if isinstance(seed, int) and not isinstance(seed, bool):
        return [(seed + b) % WORD for b in range(batch)]
    if isinstance(seed, str) or not isinstance(seed, Sequence | Tensor):
        raise TypeError(f"seed is {seed!r}, expected an integer or one per sample")
    if len(seed) != batch:
        raise ValueError(f"seed has {len(seed)} entries, expected one per sample, {batch}")
    return [int(one) % WORD for one in seed]
