# SPDX-License-Identifier: Apache-2.0
"""The residual block of the score-SDE networks and of ADM (Brock et al. 2019's, "BigGAN").

    y = (skip(r(x)) + conv(drop(silu(modulated(conv(r(silu(norm(x)))), e))))) · scale

r resamples, skip is a 1×1 convolution where the channels change, and attention may follow.
Song et al. 2021 shift (``Shifted``), Dhariwal & Nichol 2021 scale and shift (``Modulated``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pydiffcore.networks.attention import Attention, group_norm, zeroed
from pydiffcore.networks.layout import Place
from pydiffcore.networks.resample import BOX, Resample

__all__ = ["Block", "Kind", "Modulated", "Shifted"]


class Shifted(nn.Module):
    """norm(h + W e)."""

    def __init__(self, channels: int, embedding: int, eps: float) -> None:
        super().__init__()
        self.map = nn.Linear(embedding, channels)
        self.norm = group_norm(channels, eps)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        """Return the shape of h [B, C, H, W], of e [B, embedding]."""
        return self.norm(h + self.map(e)[:, :, None, None])


class Modulated(nn.Module):
    """(1 + a) norm(h) + b, (a, b) = W e."""

    def __init__(self, channels: int, embedding: int, eps: float) -> None:
        super().__init__()
        self.map = nn.Linear(embedding, 2 * channels)
        self.norm = group_norm(channels, eps)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        """Return the shape of h [B, C, H, W], of e [B, embedding]."""
        a, b = self.map(e)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(b, self.norm(h), 1 + a)


@dataclass(frozen=True)
class Kind:
    """What all blocks of a network share.

    Args:
        embedding: size of the vector e.
        modulation: Shifted or Modulated.
        dropout: before the last convolution, in training only.
        taps: of the resampling filter.
        scale: of the sum of branch and skip.
        projects: the skip of a resampling block is a convolution even if no channels change.
        head_channels: of the attention, 0 for one head.
        eps: of the group norms.
    """

    embedding: int
    modulation: Callable[[int, int, float], nn.Module]
    dropout: float = 0.0
    taps: Sequence[float] = BOX
    scale: float = 1.0
    projects: bool = False
    head_channels: int = 0
    eps: float = 1e-5


class Block(nn.Module):
    """The residual block of a kind at a place."""

    def __init__(self, place: Place, kind: Kind) -> None:
        super().__init__()
        inputs, outputs = place.inputs + place.skip, place.outputs
        self.scale = kind.scale
        self.resample = Resample(place.resample, kind.taps)
        self.norm_in = group_norm(inputs, kind.eps)
        self.conv_in = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulated = kind.modulation(outputs, kind.embedding, kind.eps)
        self.drop = nn.Dropout(kind.dropout)
        self.conv_out = zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        changes = inputs != outputs or (kind.projects and place.resample != 0)
        self.skip = nn.Conv2d(inputs, outputs, 1) if changes else nn.Identity()
        self.attention = (
            Attention(outputs, kind.head_channels, kind.scale, kind.eps)
            if place.attends
            else nn.Identity()
        )

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """Return y [B, outputs, H', W'] of x [B, inputs, H, W] and e [B, embedding]."""
        h = self.conv_in(self.resample(functional.silu(self.norm_in(x))))
        h = functional.silu(self.modulated(h, e))
        h = self.conv_out(self.drop(h))
        return self.attention((self.skip(self.resample(x)) + h) * self.scale)
