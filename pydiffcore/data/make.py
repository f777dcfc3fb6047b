# SPDX-License-Identifier: Apache-2.0
"""A zip of images in the form of EDM and StyleGAN, the same bytes for the same source.

Members are PNG files, stored and not compressed again, ``00000/img00000000.png`` and so on in the
source's order, and ``dataset.json`` at the end; every timestamp is 1980-01-01.  PNG's own
compression is that of the installed Pillow, so that another version may make other bytes of the
same pixels.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydiffcore.data.ahead import ahead
from pydiffcore.data.faults import Fault
from pydiffcore.data.fitting import Seen, fitting
from pydiffcore.data.labels import TABLE, Labels, written_labels
from pydiffcore.data.picture import as_channels, encoded, fitted
from pydiffcore.data.source import Collection, Picture, Shape

__all__ = ["Made", "Wanted", "make"]

EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date that a zip file can hold
PER_FOLDER = 1000
Progress = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True)
class Wanted:
    """What the images are made into.

    Attributes:
        size: (height, width), or None to keep the size.
        crop: center or none, see :func:`pydiffcore.data.picture.fitted`.
        labels: by the name of the image in its source; None for the source's own.
        classes: names of those labels, if known.
        faults: what is wrong with those labels.
        unlabelled: write no labels.
        skip_corrupt: leave out what cannot be used.
    """

    size: tuple[int, int] | None = None
    crop: str = "none"
    labels: Labels | None = None
    classes: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    unlabelled: bool = False
    skip_corrupt: bool = False


@dataclass(frozen=True)
class Made:
    """What was written: images, their shape, classes, and what was left out."""

    images: int
    shape: Shape
    classes: int
    left_out: tuple[Fault, ...]


def make(
    collection: Collection,
    out: Path,
    wanted: Wanted,
    *,
    workers: int | None = None,
    look: Progress = iter,
    write: Progress = iter,
) -> Made:
    """Write the images of a collection as a zip file, whole or not at all.

    Everything is looked at before the first byte is written, so that faults are listed together.

    Args:
        collection: what to read, twice.
        out: the file, replaced where it is there.
        wanted: what to make of the images.
        workers: threads that decode and encode.
        look, write: what the numbers of the images are passed through in the two passes.

    Raises:
        BadImages: images cannot be used, or do not have one size.
        OSError: the file cannot be written.
    """
    seen = list(
        ahead(lambda i: _seen(collection, i, wanted), look(range(len(collection))), workers)
    )
    own = collection.faults if wanted.labels is None else wanted.faults
    own = () if wanted.unlabelled else own
    fit = fitting(collection, seen, faults=own, size=wanted.size)
    fit.raise_for(collection.where, wanted.skip_corrupt)
    digits = max(8, len(str(len(fit.places) - 1)))
    names = [
        f"{number // PER_FOLDER:05d}/img{number:0{digits}d}.png"
        for number in range(len(fit.places))
    ]
    classes = wanted.classes if wanted.labels is not None else collection.class_names

    def png(number: int) -> bytes:
        place = fit.places[number]
        try:
            picture, _ = _fitted(collection, place, wanted)
        except ValueError as error:  # it was whole a moment ago
            name = f"{collection.where}: {collection.name(place)}"
            raise ValueError(f"{name} {error}") from None
        return encoded(as_channels(picture, fit.shape[0]))

    with _whole(out) as archive:
        contents = ahead(png, write(range(len(names))), workers)
        for name, content in zip(names, contents, strict=True):
            _add(archive, name, content)
        rows = None if fit.labels is None else list(zip(names, fit.labels, strict=True))
        _add(archive, TABLE, written_labels(rows, classes))
    count = 0 if fit.labels is None else max(max(fit.labels) + 1, len(classes))
    return Made(len(names), fit.shape, count, fit.faults)


def _fitted(collection: Collection, place: int, wanted: Wanted) -> tuple[Picture, int | None]:
    picture, label = collection.item(place)
    return fitted(picture, wanted.size, wanted.crop), label


def _seen(collection: Collection, place: int, wanted: Wanted) -> Seen:
    """Return an image's shape and label as they will be, or what is wrong with it."""
    try:
        picture, label = _fitted(collection, place, wanted)
    except ValueError as error:
        return str(error)
    if wanted.unlabelled:
        label = None
    elif wanted.labels is not None:
        label = wanted.labels.get(collection.name(place))
    channels, height, width = picture.shape
    return (channels, height, width), label


@contextmanager
def _whole(out: Path) -> Iterator[zipfile.ZipFile]:
    """Yield an archive that takes its place when all of it is on the disk, and else leaves none."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                yield archive
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, EPOCH)
    info.create_system, info.external_attr = 3, 0o644 << 16  # the same on every system
    archive.writestr(info, content)
