# SPDX-License-Identifier: Apache-2.0
"""Data set objects of other libraries: anything with a length whose items hold an image.

torchvision's items are (image, label); those of Hugging Face ``datasets`` are dictionaries.  An
image is a Pillow image, or a uint8 array or tensor.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from torch import Tensor

from pydiffcore.data.faults import Fault
from pydiffcore.data.picture import channels_first, from_pil
from pydiffcore.data.source import Picture, Shape

__all__ = ["Wrapped"]

IMAGE, LABEL = ("image", "img"), ("label", "labels", "fine_label")


class Wrapped:
    """A collection over somebody's data set object.

    Args:
        dataset: with ``len`` and ``[index]``; only safe in threads if that is.
        image, label: keys of its items, where these are dictionaries; by default the usual ones.
        convert: see :mod:`pydiffcore.data.picture`.
    """

    faults: tuple[Fault, ...] = ()

    def __init__(
        self,
        dataset: Any,
        *,
        image: str | None = None,
        label: str | None = None,
        convert: bool = False,
    ) -> None:
        self.dataset, self.convert = dataset, convert
        self.image = IMAGE if image is None else (image,)
        self.label = LABEL if label is None else (label,)
        self.where = f"the {type(dataset).__name__}"
        self.class_names = self._class_names()

    def __len__(self) -> int:
        return len(self.dataset)

    def name(self, index: int) -> str:
        """Return what messages call an image."""
        return f"item {index}"

    def item(self, index: int) -> tuple[Picture, int | None]:
        """Return an image and its label."""
        try:
            found = self.dataset[index]
        except Exception as error:  # whatever the data set's own code raises for a broken file
            raise ValueError(f"cannot be read: {' '.join(str(error).split())}") from None
        image, label = self._parts(found)
        if label is not None:
            try:
                label = operator.index(label)
            except TypeError:
                raise ValueError(f"has the label {label!r}, expected a whole number") from None
        return self._picture(image), label

    def head(self, index: int) -> tuple[Shape, int | None]:
        """Return an image's shape and label; the object offers nothing cheaper than the image."""
        picture, label = self.item(index)
        channels, height, width = picture.shape
        return (channels, height, width), label

    def _parts(self, found: Any) -> tuple[Any, Any]:
        if isinstance(found, dict):
            image = next((found[key] for key in self.image if key in found), None)
            if image is None:
                raise ValueError(f"has no image: its keys are {', '.join(map(str, found))}")
            return image, next((found[key] for key in self.label if key in found), None)
        if isinstance(found, tuple | list):
            return found[0], found[1] if len(found) > 1 else None
        return found, None

    def _picture(self, image: Any) -> Picture:
        if hasattr(image, "getexif"):
            return from_pil(image, convert=self.convert)
        array = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
        if array.dtype != np.uint8:
            raise ValueError(f"is of {array.dtype}, expected uint8: take off the transform that "
                             "makes numbers of pixels")  # fmt: skip
        if array.ndim not in (2, 3):
            raise ValueError(f"has the shape {array.shape}, expected [C, H, W] or [H, W, C]")
        return np.ascontiguousarray(channels_first(array[None])[0])

    def _class_names(self) -> tuple[str, ...]:
        names = getattr(self.dataset, "classes", None)
        features: Any = getattr(self.dataset, "features", None)
        if names is None and features is not None and hasattr(features, "get"):
            found = (features.get(key) for key in self.label)
            names = next((f.names for f in found if hasattr(f, "names")), None)
        return tuple(str(name) for name in names) if isinstance(names, list | tuple) else ()
