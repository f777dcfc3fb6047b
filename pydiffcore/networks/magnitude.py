# SPDX-License-Identifier: Apache-2.0
"""Operations that keep the expected magnitude (root mean square) of what passes through them.

Karras et al. 2024 (arXiv 2312.02696), appendix B, with its equations:

    mp_silu(x)        silu(x) / 0.596                                                     (81)
    mp_sum(a, b, t)   ((1 − t) a + t b) / √((1 − t)² + t²)                                (88)
    mp_cat(a, b, t)   [a (1 − t)/√N_a, b t/√N_b] · √((N_a + N_b) / ((1 − t)² + t²))      (103)
    mp_fourier(c)     √2 cos 2π(f c + φ)                                                  (75)
    a layer           ŵ x,  ŵ = w / ‖w‖ for each output                                   (47)
    in training       w ← w √N / ‖w‖, N the fan-in                                        (66)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from pydiffcore.networks.embedding import FixedFloat32

__all__ = ["MPFourier", "Weight", "mp_cat", "mp_silu", "mp_sum", "normalised", "pixel_norm"]

EPS = 1e-4
SILU = 0.596


def normalised(w: Tensor) -> Tensor:
    """Return w with a root mean square of 1 for each output, in float32 at least."""
    w = w.to(torch.promote_types(w.dtype, torch.float32))
    dims = tuple(range(1, w.ndim))
    norm = torch.linalg.vector_norm(w, dim=dims, keepdim=True)
    return w / (EPS + norm * math.sqrt(norm.numel() / w.numel()))


def pixel_norm(x: Tensor, dim: int = 1) -> Tensor:
    """Return x with a root mean square of 1 along dim (of the channels)."""
    wide = torch.promote_types(x.dtype, torch.float32)
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True, dtype=wide)
    return x / (EPS + norm / math.sqrt(x.shape[dim])).to(x.dtype)


def mp_silu(x: Tensor) -> Tensor:
    """Return silu(x) / 0.596, of magnitude 1 for unit normal x."""
    return functional.silu(x) / SILU


def mp_sum(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Return the sum of a and b, of which b is the part t."""
    return torch.lerp(a, b, t) / math.hypot(1 - t, t)


def mp_cat(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Return a and b along the channels (axis 1), b with the part t of the magnitude."""
    total = math.sqrt((a.shape[1] + b.shape[1]) / ((1 - t) ** 2 + t**2))
    left = total * (1 - t) / math.sqrt(a.shape[1])
    return torch.cat([left * a, total * t / math.sqrt(b.shape[1]) * b], dim=1)


class MPFourier(FixedFloat32):
    """Cosines of random, fixed frequencies and phases, of magnitude 1."""

    frequencies: Tensor
    phases: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 * math.pi * torch.randn(size))
        self.register_buffer("phases", 2 * math.pi * torch.rand(size))

    def forward(self, c: Tensor) -> Tensor:
        """Return [B, size] float32 of c [B]."""
        phase = torch.addcmul(self.phases, c.float()[:, None], self.frequencies)
        return math.sqrt(2) * phase.cos()


class Weight(nn.Module):
    """A linear layer or convolution without bias whose weight has norm 1 for each output.

    The parameter itself keeps a root mean square of 1 (``normalise_``), so that the optimiser's
    steps are of one size relative to it; the layer divides by the root of the fan-in.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: size of a convolution, 0 for a linear layer.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 0) -> None:
        super().__init__()
        shape = (outputs, inputs, kernel, kernel) if kernel else (outputs, inputs)
        self.weight = nn.Parameter(torch.randn(shape))
        self.kernel = kernel

    @torch.no_grad()
    def normalise_(self) -> None:
        """Set each output's weight to a root mean square of 1 ("forced normalisation")."""
        self.weight.copy_(normalised(self.weight))

    def unit(self) -> Tensor:
        """Return the weight with norm 1 for each output."""
        w = normalised(self.weight)
        return w / math.sqrt(w[0].numel())

    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        """Return gain · ŵ x."""
        w = (self.unit() * gain).to(x.dtype)
        if not self.kernel:
            return functional.linear(x, w)
        return functional.conv2d(x, w, padding=self.kernel // 2)
