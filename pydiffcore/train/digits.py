# SPDX-License-Identifier: Apache-2.0
"""The digits: 1,797 scans of handwritten digits, 8×8 pixels, in three disjoint parts.

The scans come inside scikit-learn (the test part of UCI's "Optical Recognition of Handwritten
Digits", Alpaydin & Kaynak 1998), so nothing is downloaded.  Of every digit

    80 scans   diffusion    what the diffusion model is trained on         800
    60 scans   reference    what all distances are measured to             600
    the rest   judge        what the judge is trained on                   397

Each part holds scans that the two others do not.  Which scan goes where is a pure function of
its place in the data set: the order of unit normals of a fixed seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pydiffcore.ops.noise import AUGMENTATION, reference_normal

__all__ = ["CLASSES", "Digits", "Split", "load", "pixels_to_x0"]

CLASSES = 10
DIFFUSION, REFERENCE = 80, 60  # scans per digit
SPLIT_SEED = 1797


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
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError(
            "the digits come with scikit-learn: pip install 'pydiffcore[digits]'"
        ) from None
    scans, labels = load_digits(return_X_y=True)
    images = np.rint(scans.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    order = np.argsort(reference_normal([SPLIT_SEED], len(labels), purpose=AUGMENTATION)[0])
    parts: tuple[list[int], ...] = ([], [], [])
    for digit in range(CLASSES):
        places = order[labels[order] == digit]
        for part, chosen in zip(
            parts, np.split(places, [DIFFUSION, DIFFUSION + REFERENCE]), strict=True
        ):
            part.extend(int(place) for place in chosen)
    diffusion, reference, judge = (_split(images, labels, part) for part in parts)
    return Digits(diffusion, judge, reference)


def _split(images: np.ndarray, labels: np.ndarray, places: list[int]) -> Split:
    return Split(torch.from_numpy(images[places]), torch.from_numpy(labels[places]).long())
