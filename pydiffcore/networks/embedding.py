# SPDX-License-Identifier: Apache-2.0
"""Vectors that carry a number or a class.  Phases are float32 whatever the network's dtype.

sinusoids(c) = [cos ω_i c, sin ω_i c],  ω_i = period^(−i/n)       Vaswani et al. 2017
Fourier(c)   = [cos 2π f_i c, sin 2π f_i c],  f_i ~ N(0, s²)      Tancik et al. 2020
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["FixedFloat32", "Fourier", "Label", "fourier", "sinusoids"]


def sinusoids(
    c: Tensor, size: int, *, period: float = 10000.0, endpoint: bool = False, sine: bool = False
) -> Tensor:
    """Return [*c.shape, size] float32, cosines before sines.

    Args:
        c: numbers.
        size: an even number.
        period: 2π times it is the longest wavelength.
        endpoint: the last of the n = size/2 frequencies is 1/period, not one step before.
        sine: sines before cosines.
    """
    half = size // 2
    i = torch.arange(half, dtype=torch.float32, device=c.device)
    phase = c.float()[..., None] * torch.exp(-math.log(period) / (half - endpoint) * i)
    waves = [phase.sin(), phase.cos()] if sine else [phase.cos(), phase.sin()]
    return torch.cat(waves, dim=-1)


def fourier(c: Tensor, frequencies: Tensor) -> Tensor:
    """Return [B, 2n] float32, sines before cosines, of c [B] and frequencies [n]."""
    phase = c.float()[:, None] * (2 * math.pi * frequencies)
    return torch.cat([phase.sin(), phase.cos()], dim=1)


class FixedFloat32(nn.Module):
    """A module whose buffers stay float32: a frequency rounded to 16 bits is another one."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FixedFloat32:
        kept = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)
        for name, old in kept.items():
            new = getattr(self, name)
            if new.dtype != torch.float32:
                setattr(self, name, old.to(new.device))
        return self


class Fourier(FixedFloat32):
    """Sines and cosines of random, fixed frequencies, which are part of the state."""

    frequencies: Tensor

    def __init__(self, size: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("frequencies", scale * torch.randn(size // 2))

    def forward(self, c: Tensor) -> Tensor:
        """Return [B, size] float32 of c [B]."""
        return fourier(c, self.frequencies)


class Label(nn.Embedding):
    """A vector per class; the label ``classes`` adds nothing and stays so."""

    def __init__(self, classes: int, size: int) -> None:
        super().__init__(classes + 1, size, padding_idx=classes)
