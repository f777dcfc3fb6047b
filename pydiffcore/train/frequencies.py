# SPDX-License-Identifier: Apache-2.0
"""Error by frequency: a mean square that counts coarse structure more than fine detail.

The cosine transform keeps |F − target|², so a weight per frequency makes a weighted mean square:
low frequencies of an image are fewer than high ones and would hardly count otherwise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["spectrum"]


def spectrum(x: Tensor, scales: float) -> Tensor:
    """Return the orthonormal DCT-II of x over its spatial axes, times sqrt(w).

    Frequency k = 1 … n of an axis of n elements has w = min(−log2(k/(2 n)), scales), and a
    frequency of several axes the least w of its parts.  scales = 1 is w = 1.

    Args:
        x: [B, C, *], with 1 or more spatial axes; 16-bit formats are widened to float32.
        scales: the largest weight, at least 1.

    Raises:
        ValueError: x has no spatial axis, or scales is less than 1.

    Source: k-diffusion, Denoiser(scales=…).
    """
    if x.ndim < 3:
        raise ValueError(f"x has shape {tuple(x.shape)}, expected [B, C, *] with spatial axes")
    if not scales >= 1:
        raise ValueError(f"scales is {scales}, expected at least 1")
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    weight = x.new_full((), float(scales))
    for axis in range(2, x.ndim):
        n = x.shape[axis]
        basis = _cosines(n).to(x)
        with torch.autocast(x.device.type, enabled=False):
            x = (x.movedim(axis, -1) @ basis.T).movedim(-1, axis)
        k = torch.arange(1, n + 1, dtype=torch.float64)
        along = (-torch.log2(k / (2 * n))).to(x)
        weight = torch.minimum(weight, along.view(-1, *(1,) * (x.ndim - 1 - axis)))
    return x * weight.sqrt()


def _cosines(n: int) -> Tensor:
    """Return the orthonormal DCT-II as a matrix [n, n], float64."""
    k = torch.arange(n, dtype=torch.float64)[:, None]
    place = torch.arange(n, dtype=torch.float64) + 0.5
    basis = torch.cos(math.pi / n * k * place) * math.sqrt(2 / n)
    basis[0] /= math.sqrt(2)
    return basis
