# SPDX-License-Identifier: Apache-2.0
"""Noise from outside the kernels, and the learned deviation of noise from anywhere.

Noise whose deviation is learned is z·exp(f·spread), f = (v + 1)/2 with the network's own v:
Nichol & Dhariwal 2021 (arXiv 2102.09672), eq. 15; the plan's coefficient is the smallest one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pydiffcore.ops.checks import noise_source, operand
from pydiffcore.plan import Plan

__all__ = ["Draws"]


class Draws:
    """The source of a run's noise, row by row.

    Args:
        plan: the plan that draws.
        shape, device, dtype: of the batch [B, *shape] and its registers.
        noise: None, a stack [plan.draws, B, *shape], a generator or a function, as for a runner.

    """

    def __init__(
        self,
        plan: Plan,
        shape: torch.Size,
        device: torch.device,
        dtype: torch.dtype,
        noise: Any,
    ) -> None:
        self.plan, self.shape, self.device, self.dtype = plan, shape, device, dtype
        self.noise = noise_source(noise, (plan.draws, *shape), device, dtype, plan.interval)
        self.in_kernel = noise is None and not plan.learned_variance

    def scale(self, streams: list[int], variance: Tensor | None) -> Tensor | None:
        """Return factors [len(streams), B, *shape] of a row's draws, or None: all are 1."""
        if not self.plan.learned_variance or not streams:
            return None
        learned = self.plan.spread[self._own(streams)]
        if not learned.any():
            return None
        if variance is None:
            raise ValueError(
                f"variance is None, but {self.plan.sampler} draws noise with a learned deviation: "
                "advance(F, variance=v) with the second half of the network's channels"
            )
        f = (variance.to(self.dtype) + 1) / 2
        return torch.stack([torch.exp(f * spread) for spread in learned.tolist()])

    def unit(self, streams: list[int]) -> Tensor | None:
        """Return unit normals [len(streams), B, *shape], or None where the kernel draws them."""
        if self.noise is None or not streams:
            return None
        if isinstance(self.noise, Tensor):
            return self.noise[self._own(streams)]
        if callable(self.noise):
            given = [self.noise(*self.plan.interval[m].tolist()) for m in self._own(streams)]
            drawn = [operand(z, "noise(sigma, sigma_next)", self.shape, self.device) for z in given]
            return torch.stack(drawn).to(self.dtype)
        return torch.randn(
            (len(streams), *self.shape),
            generator=self.noise,
            dtype=self.dtype,
            device=self.device,
        )

    def _own(self, streams: list[int]) -> list[int]:
        """Return the plan's own numbers of streams, by which noise is given."""
        return [stream - self.plan.first_stream for stream in streams]
