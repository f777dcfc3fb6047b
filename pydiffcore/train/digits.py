# SPDX-License-Identifier: Apache-2.0
"""The digits as tensors, in the three disjoint parts of :mod:`pydiffcore.data.digits`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pydiffcore.data.digits import CLASSES, DIFFUSION, parts

__all__ = ["CLASSES", "DIFFUSION", "Digits", "Split", "load", "pixels_to_x0"]


@dataclass(frozen=True)
class Split:
    """Scans with their digits: images uint8 [N, 1, 8, 8], labels int64 [N]."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def x0(self) -> Tensor:
        """The images as float32 in [−1, 1]."""
        return pixels_to_x0(self.images)


@dataclass(frozen=True)
class Digits:
    """The three disjoint parts."""

    diffusion: Split
    judge: Split
    reference: Split


def pixels_to_x0(images: Tensor) -> Tensor:
    """Return x0 = pixel/127.5 − 1, float32, of uint8 pixels."""
    return images.float() / 127.5 - 1


def load() -> Digits:
    """Return the digits in their fixed parts, scaled from 0…16 to 0…255.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    splits = {
        name: Split(torch.from_numpy(part.images), torch.from_numpy(part.labels).long())
        for name, part in parts().items()
    }
    return Digits(**splits)
