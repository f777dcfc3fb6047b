# SPDX-License-Identifier: Apache-2.0
"""The direct run: a sampler's own source on torch tensors, one operation at a time.

It is slow, it takes samplers that cannot be traced, and it is the oracle of the fused run.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pydiffcore.denoiser import Denoiser
from pydiffcore.levels import Levels
from pydiffcore.ops.noise import INITIAL, SAMPLER, checked_seeds, normal
from pydiffcore.plan.trace import draws_before, prepared
from pydiffcore.prediction import denoised

__all__ = ["direct"]


class DirectDenoiser:
    """D(x, σ) = c_skip·x + c_out·F(c_in·x; c_noise) in torch operations."""

    def __init__(self, model: Denoiser, clip: tuple[float, float] | None) -> None:
        self.model, self.clip = model, clip
        self.variance: Tensor | None = None  # v of the last call

    def with_raw(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """Return D after clipping and D before it."""
        c_skip, c_out, c_in, c_noise = map(float, self.model.prediction.coefficients(sigma))
        label = torch.full((len(x),), c_noise, dtype=x.dtype, device=x.device)
        output = self.model.network(c_in * x, label, **self.model.condition)
        F, self.variance = self.model.split(output)
        guidance = self.model.guidance
        if guidance is not None:
            condition = {**self.model.condition, **guidance.unconditional}
            u = (guidance.network or self.model.network)(c_in * x, label, **condition)
            u = self.model.split(u)[0]
            w = torch.as_tensor(guidance.weights(np.array([sigma]), len(x))[0], dtype=x.dtype)
            w = w.to(x.device).reshape(-1, *(1,) * (x.ndim - 1)) if w.ndim else w
            F = u + w * (F - u)
        D = c_skip * x + c_out * F
        return (D if self.clip is None else D.clamp(*self.clip)), D

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return self.with_raw(x, sigma)[0]

    def spread(self, z: Tensor, low: float, high: float) -> Tensor:
        """Return low^(1 − f) high^f z, f = (v + 1)/2 of the last output."""
        if self.variance is None:
            raise ValueError("a learned variance needs a Denoiser(learned_variance=True)")
        return low * torch.exp((self.variance + 1) / 2 * math.log(high / low)) * z


def direct(
    sampler: Callable[..., Any],
    denoiser: Denoiser | Callable[..., Tensor],
    levels: Levels,
    *,
    shape: Sequence[int],
    seeds: Any,
    x: Tensor | None = None,
    noise: Tensor | Callable[[float, float], Tensor] | None = None,
    clip: tuple[float, float] | None = None,
    first_stream: int | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    **options: Any,
) -> Tensor:
    """Run a sampler unfused, in the EDM frame, on the noise that its plan would draw.

    Args:
        sampler, levels, options: as for :func:`pydiffcore.trace`.
        denoiser, shape, seeds: as for :func:`pydiffcore.sample`.
        x: initial states [N, *shape] in the EDM frame, of deviation ``levels.sigma[0]``.
        noise: unit normals, one tensor [N, *shape] per draw of the sampler; a function of the
            levels (sigma, sigma_next) of the step; or None.
        clip: bounds of D, or None.
        first_stream: as for :func:`pydiffcore.trace`.
        dtype: of every tensor, the network's included.
        device: of every tensor.

    """
    model = denoiser if isinstance(denoiser, Denoiser) else Denoiser(denoiser, denoised())
    seeds, (sampler, options) = checked_seeds(seeds), prepared(sampler, options)
    at: dict[str, Any] = {"device": device, "dtype": dtype}
    if x is None:
        x = float(levels.sigma[0]) * normal(seeds, shape, purpose=INITIAL, stream=0, **at)
    drawn = itertools.count()

    @cache
    def first() -> int:
        return draws_before(sampler, levels, options) if first_stream is None else first_stream

    def draw(*interval: float) -> Tensor:
        if callable(noise):
            return noise(*interval).to(**at)
        stream = next(drawn)
        if noise is not None:
            return noise[stream].to(**at)
        return normal(seeds, shape, purpose=SAMPLER, stream=first() + stream, **at)

    return sampler(x.to(**at), DirectDenoiser(model, clip), levels, draw, **options)
