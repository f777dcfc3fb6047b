# SPDX-License-Identifier: Apache-2.0
"""From what a user names to a source."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pydiffcore.data.array import Array, arrays_in, as_numpy
from pydiffcore.data.checked import Progress, checked
from pydiffcore.data.cifar import cifar
from pydiffcore.data.digits import digits
from pydiffcore.data.files import folder, zipped
from pydiffcore.data.numbers import Numbers
from pydiffcore.data.source import Collection, Source
from pydiffcore.data.wrapped import Wrapped

__all__ = ["open_collection", "open_source"]

ARCHIVES = (".tar.gz", ".tgz", ".tar")


def open_source(
    where: Any,
    *,
    skip_corrupt: bool = False,
    convert: bool = False,
    verify: bool = True,
    split: str = "train",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Source:
    """Return the images that a name or an object stands for, every one looked at.

    An array in floating point, in memory or in a .npy or .npz file, is no image: see ``Numbers``.

    Args:
        where: ``digits``, a path (folder, .zip, .npy, .npz, CIFAR's .tar.gz), an array or tensor,
            a data set object of another library, or a source, which is returned as it is.
        skip_corrupt: leave out images that cannot be used, see ``left_out``.
        convert: take what would lose something, see :mod:`pydiffcore.data.picture`.
        verify: decode every image once; False looks at the heads of the files only.
        split: train or test, of CIFAR.
        workers: threads that look.
        progress: what the numbers of the images are passed through, such as a bar.

    Raises:
        FileNotFoundError: there is no such file.
        BadImages: images cannot be used.
        ValueError, TypeError: it stands for no images.
    """
    if isinstance(where, Source):
        return where
    if _is_stored(where):
        return _stored(Path(where))
    if isinstance(where, np.ndarray | Tensor) and as_numpy(where).dtype.kind == "f":
        return Numbers(where)
    collection = open_collection(where, convert=convert, split=split)
    if isinstance(collection, Array):
        return collection
    return checked(
        collection, skip_corrupt=skip_corrupt, verify=verify, workers=workers, progress=progress
    )


def open_collection(
    where: Any, *, convert: bool = False, split: str = "train"
) -> Collection | Array:
    """Return the images as they are stored; the arguments are those of :func:`open_source`."""
    if isinstance(where, str | os.PathLike):
        return _at(str(os.fspath(where)), convert, split)
    if isinstance(where, Array):
        return where
    if isinstance(where, np.ndarray | Tensor):
        return Array(where)
    if hasattr(where, "__len__") and hasattr(where, "__getitem__"):
        return Wrapped(where, convert=convert)
    raise TypeError(
        f"the data is a {type(where).__name__}, expected a path, an array or a data set"
    )


def _is_stored(where: Any) -> bool:
    return isinstance(where, str | os.PathLike) and str(where).lower().endswith((".npy", ".npz"))


def _stored(path: Path) -> Array | Numbers:
    arrays = arrays_in(path)
    values, labels = arrays["images"], arrays.get("labels")
    seen = arrays.get("observations")
    if values.dtype.kind == "f":
        return Numbers(values, labels, seen, where=str(path), codec=_codec(arrays, path))
    if seen is not None:
        raise ValueError(f"{path} has observations, but {values.dtype} values: expected float32")
    return Array(values, labels, where=str(path))


def _codec(arrays: dict[str, Any], path: Path) -> dict[str, Any] | None:
    """Return what is said of the codec that made the latents of a file."""
    if "codec" not in arrays:
        return None
    try:
        return dict(json.loads(str(arrays["codec"])))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} says of its codec what is no JSON: {error}") from None


def _at(where: str, convert: bool, split: str) -> Collection | Array:
    path, lower = Path(where), where.lower()
    if where == "digits":
        return digits()
    if path.is_dir():
        return folder(path, convert=convert)
    if not path.exists():
        raise FileNotFoundError(2, "there is no such file", where)
    if lower.endswith(".zip"):
        return zipped(path, convert=convert)
    if _is_stored(where):
        found = _stored(path)
        if isinstance(found, Numbers):
            raise TypeError(f"{where} is of {found.values.dtype}, expected uint8 pixels")
        return found
    if lower.endswith(ARCHIVES):
        return cifar(path, split)
    raise ValueError(f"the data is {where}, expected a folder, .zip, .npy, .npz, CIFAR's .tar.gz, "
                     "or digits")  # fmt: skip
