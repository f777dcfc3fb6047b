# SPDX-License-Identifier: Apache-2.0
"""What turns images into latents and back, for diffusion in a smaller space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["Codec"]


@runtime_checkable
class Codec(Protocol):
    """An encoder and a decoder.

    Attributes:
        scale: what the encoder's own latents are multiplied by, so that their deviation is about 1.
    """

    scale: float

    def encode(self, images: Tensor, seeds: Sequence[int] | None = None) -> Tensor:
        """Return latents, float32 [B, c, h, w], of images, uint8 [B, C, H, W].

        A codec that is stochastic returns its mean without seeds, and with them a draw that is a
        pure function of each sample's seed.
        """
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Return images, uint8 [B, C, H, W], of latents [B, c, h, w]."""
        ...
