# SPDX-License-Identifier: Apache-2.0
"""What training reads images from, and the rawer thing that a source is made of.

A **collection** is images as somebody stored them: any sizes, some perhaps broken.  A **source**
is what a collection is after every image of it was looked at: one shape, labels that fit, and
nothing that cannot be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.data.faults import Fault

__all__ = ["Collection", "Picture", "Shape", "Source"]

Picture = NDArray[np.uint8]  # [C, H, W]
Shape = tuple[int, int, int]  # C, H, W


@runtime_checkable
class Source(Protocol):
    """Images of one shape, with labels or without.

    Attributes:
        shape: (C, H, W) of every image; any of samples in floating point.
        classes: how many there are, 0 without labels.
        class_names: one per class where the source knows them, else empty.
        left_out: what was skipped when it was opened.
    """

    classes: int
    class_names: tuple[str, ...]
    left_out: tuple[Fault, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a sample."""
        ...

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, index: int) -> tuple[Picture, int | None]:
        """Return an image, uint8 [C, H, W], and its label."""
        ...

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
        """Return images, uint8 [B, C, H, W], and labels, int64 [B]."""
        ...


class Collection(Protocol):
    """Images as they are stored.

    Attributes:
        where: what error messages call it.
        class_names: one per class where known.
        faults: what is wrong beside the images themselves, such as in the table of labels.
    """

    where: str
    class_names: tuple[str, ...]
    faults: tuple[Fault, ...]

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def name(self, index: int) -> str:
        """Return what messages call an image."""
        ...

    def item(self, index: int) -> tuple[Picture, int | None]:
        """Return an image of any size and its label; ValueError says what is wrong with it."""
        ...

    def head(self, index: int) -> tuple[Shape, int | None]:
        """Return an image's shape and its label without reading its pixels, where that is less."""
        ...
