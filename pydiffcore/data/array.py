# SPDX-License-Identifier: Apache-2.0
"""Images that are one array already: in memory, in a .npy or .npz file."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.data.faults import Fault
from pydiffcore.data.picture import channels_first
from pydiffcore.data.source import Picture, Shape

__all__ = ["Array", "arrays_in", "as_numpy", "checked_labels"]

NAMES = {
    "images": ("images", "actions", "x", "samples", "arr_0"),
    "labels": ("labels", "y", "classes", "arr_1"),
    "observations": ("observations", "obs"),
    "codec": ("codec",),
}


class Array:
    """A source over an array; a collection as well, since it is whole by nature.

    Args:
        images: uint8 [N, C, H, W], [N, H, W, C] or [N, H, W], C = 1 or 3; NumPy or torch.
        labels: whole numbers from 0 on, [N], or None.
        where: what error messages call it.
        class_names: one per class.

    Raises:
        TypeError, ValueError: it is no such array.
    """

    left_out: tuple[Fault, ...] = ()
    faults: tuple[Fault, ...] = ()

    def __init__(
        self,
        images: Any,
        labels: Any = None,
        *,
        where: str = "the array",
        class_names: tuple[str, ...] = (),
    ) -> None:
        self.where, self.class_names = where, class_names
        pixels = as_numpy(images)
        if pixels.dtype != np.uint8:
            raise TypeError(f"{where} is of {pixels.dtype}, expected uint8 pixels")
        if pixels.size == 0:
            raise ValueError(f"{where} holds no images: its shape is {pixels.shape}")
        try:
            self.images = channels_first(pixels)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        _, channels, height, width = self.images.shape
        self.shape: Shape = (channels, height, width)
        self.labels = None if labels is None else checked_labels(labels, len(pixels), where)
        highest = 0 if self.labels is None else int(self.labels.max()) + 1
        if class_names and highest > len(class_names):
            raise ValueError(f"{where} has a label {highest - 1}, but {len(class_names)} classes")
        self.classes = max(highest, len(class_names) if self.labels is not None else 0)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Picture, int | None]:
        picture = np.array(self.images[index])
        return picture, None if self.labels is None else int(self.labels[index])

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
        """Return images, uint8 [B, C, H, W], and labels, int64 [B]."""
        places = np.asarray(indices, np.int64)
        images = np.ascontiguousarray(np.asarray(self.images)[places])
        labels = None if self.labels is None else torch.from_numpy(self.labels[places])
        return torch.from_numpy(images), labels

    def name(self, index: int) -> str:
        """Return what messages call an image."""
        return f"image {index}"

    def item(self, index: int) -> tuple[Picture, int | None]:
        """Return an image and its label."""
        return self[index]

    def head(self, index: int) -> tuple[Shape, int | None]:
        """Return an image's shape and its label."""
        return self.shape, None if self.labels is None else int(self.labels[index])


def arrays_in(path: Path) -> dict[str, NDArray[Any]]:
    """Return ``images`` of a .npy file, mapped and not read; of a .npz file what NAMES calls so.

    Raises:
        ValueError: the file is damaged, or holds something else.
    """
    try:
        if path.suffix.lower() == ".npy":
            return {"images": np.load(path, mmap_mode="r", allow_pickle=False)}
        with np.load(path, allow_pickle=False) as content:
            names = {what: [n for n in called if n in content] for what, called in NAMES.items()}
            arrays = {what: content[found[0]] for what, found in names.items() if found}
    except FileNotFoundError:
        raise
    except (zipfile.BadZipFile, EOFError, OSError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is no whole NumPy file of numbers: {error}") from None
    if "images" not in arrays:
        raise ValueError(f"{path} has no array called {', '.join(NAMES['images'])}")
    return arrays


def as_numpy(values: Any) -> NDArray[Any]:
    """Return an array or tensor as an array."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asanyarray(values)


def checked_labels(labels: Any, size: int, where: str) -> NDArray[np.int64]:
    """Return labels as int64 [size]; TypeError or ValueError where they are none."""
    array = as_numpy(labels)
    if array.shape != (size,):
        raise ValueError(f"{where} has labels of the shape {array.shape}, expected ({size},)")
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{where} has labels of {array.dtype}, expected whole numbers")
    if array.min() < 0:
        raise ValueError(f"{where} has the label {array.min()}, expected numbers from 0 on")
    return array.astype(np.int64)
