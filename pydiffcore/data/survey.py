# SPDX-License-Identifier: Apache-2.0
"""What a collection holds: counts, sizes, classes, mean and deviation, and everything wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pydiffcore.data.ahead import ahead
from pydiffcore.data.faults import Fault
from pydiffcore.data.fitting import fitting
from pydiffcore.data.source import Collection, Shape

__all__ = ["Survey", "survey"]


@dataclass(frozen=True)
class Survey:
    """The findings.

    Attributes:
        where: what was looked at.
        images: how many are whole.
        shapes: (C, H, W) of these → how many, the most frequent first.
        class_counts: label → how many of these; empty without labels.
        class_names: one per class where known.
        mean, std: of x0 = pixel/127.5 − 1 over all whole images, per channel (grey counts in each).
        faults: images that cannot be used, or that differ from the others.
    """

    where: str
    images: int
    shapes: dict[Shape, int]
    class_counts: dict[int, int]
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    faults: tuple[Fault, ...]

    @property
    def classes(self) -> int:
        """Return the number of classes, 0 without labels."""
        return max(max(self.class_counts, default=-1) + 1, len(self.class_names))

    def facts(self) -> dict[str, Any]:
        """Return the findings as plain values, for JSON."""
        counts = [self.class_counts.get(label, 0) for label in range(self.classes)]
        return {
            "format": "pydiffcore dataset 1",
            "file": self.where,
            "images": self.images,
            "shapes": [{"shape": list(s), "images": n} for s, n in self.shapes.items()],
            "classes": self.classes,
            "class_names": list(self.class_names),
            "class_counts": counts,
            "mean": list(self.mean),
            "std": list(self.std),
            "faults": [{"name": fault.name, "why": fault.why} for fault in self.faults],
        }


Found = tuple[Shape, int | None, list[int], list[int]] | str


def survey(
    collection: Collection,
    *,
    workers: int | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Survey:
    """Look at every image; sums are of whole numbers, so that no order changes the result."""
    numbers = progress(range(len(collection)))
    seen = list(ahead(lambda index: _found(collection, index), numbers, workers))
    whole = [found for found in seen if not isinstance(found, str)]
    shapes = dict(Counter(found[0] for found in whole).most_common())
    labels = Counter(found[1] for found in whole if found[1] is not None)
    fit = fitting(collection, [found if isinstance(found, str) else found[:2] for found in seen])
    mean, std = _moments(whole)
    return Survey(
        collection.where, len(whole), shapes, dict(sorted(labels.items())),
        collection.class_names if labels else (), mean, std, fit.faults,
    )  # fmt: skip


def _found(collection: Collection, index: int) -> Found:
    """Return an image's shape, label, sums and sums of squares by channel, or what is wrong."""
    try:
        picture, label = collection.item(index)
    except ValueError as error:
        return str(error)
    channels, height, width = picture.shape
    wide = picture.reshape(channels, -1).astype(np.int64)
    sums, squares = wide.sum(axis=1).tolist(), (wide * wide).sum(axis=1).tolist()
    return (channels, height, width), label, sums, squares


def _moments(
    whole: list[tuple[Shape, int | None, list[int], list[int]]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    channels = max((found[0][0] for found in whole), default=0)
    pixels, total, squares = 0, [0] * channels, [0] * channels
    for (own, height, width), _, sums, powers in whole:
        pixels += height * width
        for channel in range(channels):
            total[channel] += sums[channel % own]
            squares[channel] += powers[channel % own]
    mean = [value / pixels for value in total]
    # One exact division of whole numbers: the difference of two large floats would cancel.
    variance = [(q * pixels - t * t) / pixels**2 for t, q in zip(total, squares, strict=True)]
    return (
        tuple(value / 127.5 - 1 for value in mean),
        tuple(float(np.sqrt(value)) / 127.5 for value in variance),
    )
