# SPDX-License-Identifier: Apache-2.0
"""What a row draws where its kernel does not draw it itself: noise handed in, a learned deviation.

Noise whose deviation is learned is z·exp(f·spread), f = (v + 1)/2 with the network's own v:
Nichol & Dhariwal 2021 (arXiv 2102.09672), eq. 15; the plan's coefficient is the smallest one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pydiffcore.ops.checks import noise_source, operand
from pydiffcore.ops.noise import SAMPLER, normal
from pydiffcore.plan import Plan

__all__ = ["Draws"]


class Draws:
    """The source of a run's noise, row by row.

    Args:
        plan: the plan that draws.
        seeds, shape, device, dtype: of the batch [B, *shape] and its registers.
        noise: None, a stack [plan.draws, B, *shape], a generator or a function, as for a runner.

    """

    def __init__(
        self,
        plan: Plan,
        seeds: list[int],
        shape: torch.Size,
        device: torch.device,
        dtype: torch.dtype,
        noise: Any,
    ) -> None:
        self.plan, self.seeds, self.shape, self.device, self.dtype = (
            plan, seeds, shape, device, dtype
        )  # fmt: skip
        self.noise = noise_source(noise, (plan.draws, *shape), device, dtype, plan.interval)
        self.in_kernel = noise is None and not plan.learned_variance

    def row(self, streams: list[int], variance: Tensor | None) -> Tensor | None:
        """Return the draws [len(streams), B, *shape] of a row, or None: its kernel draws them."""
        learned = self.plan.spread[streams] if self.plan.learned_variance else None
        if learned is None or not learned.any():
            return None if self.noise is None or not streams else self._unit(streams)
        if variance is None:
            raise ValueError(
                f"variance is None, but {self.plan.sampler} draws noise with a learned deviation: "
                "advance(F, variance=v) with the second half of the network's channels"
            )
        f = (variance.to(self.dtype) + 1) / 2
        scale = torch.stack([torch.exp(f * spread) for spread in learned.tolist()])
        return self._unit(streams) * scale

    def _unit(self, streams: list[int]) -> Tensor:
        if self.noise is None:
            at: Any = {"purpose": SAMPLER, "device": self.device, "dtype": self.dtype}
            shape = self.shape[1:]
            return torch.stack([normal(self.seeds, shape, stream=m, **at) for m in streams])
        if isinstance(self.noise, Tensor):
            return self.noise[streams]
        if callable(self.noise):
            given = [self.noise(*self.plan.interval[m].tolist()) for m in streams]
            drawn = [operand(z, "noise(sigma, sigma_next)", self.shape, self.device) for z in given]
            return torch.stack(drawn).to(self.dtype)
        return torch.randn(
            (len(streams), *self.shape),
            generator=self.noise,
            dtype=self.dtype,
            device=self.device,
        )
