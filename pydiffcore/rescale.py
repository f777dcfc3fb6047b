# SPDX-License-Identifier: Apache-2.0
"""Guidance whose output keeps the deviation of the conditional one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pydiffcore.denoiser import Denoiser
from pydiffcore.ops.reference import guided

__all__ = ["rescaled"]


def rescaled(denoiser: Denoiser, phi: float = 0.7) -> Denoiser:
    """Return the guided denoiser whose F has its deviation brought back, by a share phi.

        F_g = u + w (c − u),   F = phi·F_g std(c)/std(F_g) + (1 − phi)·F_g

    std is over all elements of one sample, never over the batch.  The network is called twice and
    F made by torch operations; the row stays fused.

    Args:
        denoiser: with guidance, at all levels; its network may not learn a variance.
        phi: in [0, 1]; 0 is plain guidance, the paper has 0.7.

    Raises:
        TypeError: denoiser is no Denoiser.
        ValueError: it has no guidance, guidance in an interval, or a learned variance; or phi is
            outside [0, 1].

    Source: Lin et al. 2024 (arXiv 2305.08891), eq. 14 to 16.
    """
    if not isinstance(denoiser, Denoiser):
        raise TypeError(f"denoiser is {type(denoiser).__name__}, expected a pydiffcore.Denoiser")
    if not 0 <= phi <= 1:
        raise ValueError(f"phi is {phi}, expected a share in [0, 1]")
    guidance, network = denoiser.guidance, denoiser.network
    if guidance is None or denoiser.learned_variance:
        raise ValueError("denoiser has no guidance or learns a variance, expected guidance alone")
    if guidance.interval != (0.0, float("inf")):
        raise ValueError(f"guidance.interval is {guidance.interval}, expected all levels")
    without = guidance.network or network

    def both(x: Tensor, c_noise: Tensor, *, told: Any, free: Any, weight: Any) -> Tensor:
        u = without(x, c_noise, **{**told, **free}).clone()  # the next call may recycle its buffer
        c = network(x, c_noise, **told)
        wide = torch.promote_types(c.dtype, torch.float32)
        F = guided(c, u, weight, wide)
        each = tuple(range(1, F.ndim))
        ratio = c.to(wide).std(each, keepdim=True) / F.std(each, keepdim=True)
        return torch.where(ratio.isfinite(), phi * ratio + (1 - phi), 1.0).mul(F).to(c.dtype)

    condition = {"told": denoiser.condition, "free": guidance.unconditional}
    return Denoiser(both, denoiser.prediction, {**condition, "weight": guidance.weight})
