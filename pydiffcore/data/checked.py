# SPDX-License-Identifier: Apache-2.0
"""From a collection to a source: every image looked at once, then read as it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.data.ahead import ahead
from pydiffcore.data.faults import Fault
from pydiffcore.data.fitting import Seen, fitting
from pydiffcore.data.picture import as_channels
from pydiffcore.data.source import Collection, Picture, Shape

__all__ = ["Checked", "checked"]

Progress = Callable[[Iterable[int]], Iterable[int]]


class Checked:
    """The images of a collection that are whole and fit together."""

    def __init__(
        self,
        collection: Collection,
        places: NDArray[np.int64],
        labels: NDArray[np.int64] | None,
        shape: Shape,
        left_out: tuple[Fault, ...],
    ) -> None:
        self.collection, self.places, self.labels = collection, places, labels
        self.shape, self.left_out = shape, left_out
        self.class_names = collection.class_names if labels is not None else ()
        highest = 0 if labels is None else int(labels.max()) + 1
        self.classes = max(highest, len(self.class_names))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[Picture, int | None]:
        place = int(self.places[index])
        name = f"{self.collection.where}: {self.collection.name(place)}"
        try:
            picture, _ = self.collection.item(place)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
        picture = as_channels(picture, self.shape[0])
        if picture.shape != self.shape:
            raise ValueError(f"{name} has the shape {picture.shape}, expected {self.shape}")
        return picture, None if self.labels is None else int(self.labels[index])

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
        """Return images, uint8 [B, C, H, W], and labels, int64 [B]."""
        where = np.asarray(indices, np.int64)
        out = np.empty((len(where), *self.shape), np.uint8)
        for row, index in zip(out, where, strict=True):
            row[...] = self[int(index)][0]
        labels = None if self.labels is None else torch.from_numpy(self.labels[where])
        return torch.from_numpy(out), labels


def checked(
    collection: Collection,
    *,
    skip_corrupt: bool = False,
    verify: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Checked:
    """Look at every image and return those that fit, or list what does not.

    The shape is the one that most images have; grey images among coloured ones become three equal
    channels.

    Args:
        collection: what to look at.
        skip_corrupt: leave out what does not fit, instead of refusing.
        verify: decode every image; False reads the heads of the files only, so that damage further
            in is noticed when the image is read.
        workers: threads.
        progress: what the numbers of the images are passed through, such as a bar.

    Raises:
        BadImages: images do not fit, or none does.
    """
    if len(collection) == 0:
        raise ValueError(f"{collection.where} holds no images")
    numbers: Iterable[int] = range(len(collection))
    numbers = numbers if progress is None else progress(numbers)
    seen = list(ahead(lambda index: _look(collection, index, verify), numbers, workers))
    fit = fitting(collection, seen)
    fit.raise_for(collection.where, skip_corrupt)
    labels = None if fit.labels is None else np.array(fit.labels, np.int64)
    return Checked(collection, np.array(fit.places, np.int64), labels, fit.shape, fit.faults)


def _look(collection: Collection, index: int, verify: bool) -> Seen:
    """Return an image's shape and label, or what is wrong with it."""
    try:
        if not verify:
            return collection.head(index)
        picture, label = collection.item(index)
    except ValueError as error:
        return str(error)
    channels, height, width = picture.shape
    return (channels, height, width), label
