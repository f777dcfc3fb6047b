# SPDX-License-Identifier: Apache-2.0
"""Which of the images that were looked at fit together, and what is wrong with the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydiffcore.data.faults import BadImages, Fault
from pydiffcore.data.source import Collection, Shape

__all__ = ["Fitting", "Seen", "fitting"]

Seen = tuple[Shape, int | None] | str  # an image's shape and label, or what is wrong with it


@dataclass(frozen=True)
class Fitting:
    """The outcome.

    Attributes:
        places: of the images that fit, in the collection.
        labels: one per place, or None.
        shape: channels of the most coloured, height and width of most.
        faults: of all other images, and of the collection.
    """

    places: list[int]
    labels: list[int] | None
    shape: Shape
    faults: tuple[Fault, ...]

    def raise_for(self, where: str, skip: bool) -> None:
        """Raise BadImages where there are faults that are not to be skipped, or nothing fits."""
        if not self.places or (self.faults and not skip):
            raise BadImages(where, self.faults)


def fitting(
    collection: Collection,
    seen: Sequence[Seen],
    *,
    faults: Sequence[Fault] | None = None,
    size: tuple[int, int] | None = None,
) -> Fitting:
    """Sort images into those of the most frequent size, with labels if any has one, and others.

    Args:
        collection: what was looked at.
        seen: one per image.
        faults: known beforehand, the collection's own by default.
        size: (height, width) instead of the most frequent.
    """
    found = [entry for entry in seen if not isinstance(entry, str)]
    if size is None:
        # Of equally many, the first one seen.
        size = next((s for s, _ in Counter(e[0][1:] for e in found).most_common(1)), (0, 0))
    labelled = any(label is not None for _, label in found)
    listed = list(collection.faults if faults is None else faults)
    named = {fault.name for fault in listed}
    places, labels, channels = [], [], 0
    for place, entry in enumerate(seen):
        name = collection.name(place)
        if name in named:
            continue
        why = entry if isinstance(entry, str) else _odd(entry, size, labelled)
        if why or isinstance(entry, str):
            listed.append(Fault(name, why))
            continue
        places.append(place)
        labels.append(-1 if entry[1] is None else entry[1])
        channels = max(channels, entry[0][0])
    return Fitting(places, labels if labelled else None, (channels, *size), tuple(listed))


def _odd(entry: tuple[Shape, int | None], size: tuple[int, int], labelled: bool) -> str:
    """Return why a whole image does not fit the others, "" where it does."""
    (_, height, width), label = entry
    if (height, width) != size:
        return f"is {width}×{height}, expected {size[1]}×{size[0]} as the others"
    if labelled and (label is None or label < 0):
        return f"has the label {label}, expected a whole number from 0 on"
    return ""
