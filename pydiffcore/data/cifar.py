# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 and CIFAR-100 from the archive "python version" as it was downloaded.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).  A batch is a
pickled dictionary of ``data``, uint8 [N, 3072], the red, green and blue plane of each image after
one another, and ``labels`` (``fine_labels`` in CIFAR-100).
"""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from pydiffcore.data.array import Array
from pydiffcore.data.pickled import read_pickled

__all__ = ["cifar"]

SPLITS = {
    "train": (*(f"data_batch_{number}" for number in range(1, 6)), "train"),
    "test": ("test_batch", "test"),
}
META = ("batches.meta", "meta")
SIDE = 32
LARGEST = 1 << 28  # bytes of a member; CIFAR-100's largest has 155 MB


def cifar(path: Path, split: str = "train") -> Array:
    """Return the images of ``cifar-10-python.tar.gz``, or of CIFAR-100's.

    Raises:
        ValueError: the file is damaged, holds something else, or wants code to be run.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, expected train or test")
    batches = _members(path, (*SPLITS[split], *META))
    names = tuple(
        name.decode("latin-1") if isinstance(name, bytes) else name
        for meta in META
        for key in ("label_names", "fine_label_names")
        for name in batches.get(meta, {}).get(key) or ()
        if isinstance(name, bytes | str)
    )
    parts = [_batch(batches[name], path, name) for name in SPLITS[split] if name in batches]
    if not parts:
        raise ValueError(f"{path} has no {SPLITS[split][0]}: it is no CIFAR archive")
    images = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([labels for _, labels in parts])
    return Array(images, labels, where=str(path), class_names=names)


def _members(path: Path, wanted: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the dictionaries of the members with one of these names."""
    found: dict[str, dict[str, Any]] = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if not member.isfile() or name not in wanted:
                    continue
                if member.size > LARGEST:
                    raise ValueError(f"{path}: {member.name} has {member.size} bytes")
                file = archive.extractfile(member)
                assert file is not None
                try:
                    found[name] = read_pickled(file.read())
                except ValueError as error:
                    raise ValueError(f"{path}: {member.name} was not read: {error}") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no whole tar archive: {error}") from None
    return found


def _batch(content: dict[str, Any], path: Path, name: str) -> tuple[Any, Any]:
    """Return a batch's images [N, 3, 32, 32] and labels [N]."""
    data = content.get("data")
    labels = content.get("labels", content.get("fine_labels"))
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != 3 * SIDE * SIDE:
        raise ValueError(f"{path}: {name} has no data of the shape [N, {3 * SIDE * SIDE}]")
    if (
        not isinstance(labels, list)
        or len(labels) != len(data)
        or not all(type(label) is int for label in labels)
    ):
        raise ValueError(f"{path}: {name} has no list of {len(data)} labels")
    return data.reshape(-1, 3, SIDE, SIDE), np.array(labels, np.int64)
