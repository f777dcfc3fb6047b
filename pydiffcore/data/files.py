# SPDX-License-Identifier: Apache-2.0
"""Folders and zip archives of image files.

A **folder** with ``dataset.json`` at its top has the labels written there.  Without it, and with no
image at its top, its sub-folders are the classes, in the order of their names, and images deeper
down belong to the first sub-folder on their way.  Otherwise it is images without labels.

A **zip** in the form of EDM and StyleGAN holds images, PNG or npy, and perhaps ``dataset.json``.
Members are found once, and read by place and length afterwards: no lock, so that threads read at
the same time, and no open file, so that the collection crosses to other processes.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydiffcore.data.faults import Fault
from pydiffcore.data.labels import TABLE, Labels, read_labels
from pydiffcore.data.picture import ENDINGS, decoded, head
from pydiffcore.data.source import Picture, Shape

__all__ = ["Files", "folder", "zipped"]


class Store(Protocol):
    """Where the bytes of a file come from."""

    def bytes_of(self, name: str) -> bytes:
        """Return a file's content; OSError or ValueError where that fails."""
        ...


@dataclass(frozen=True)
class Folder:
    """Files below a directory."""

    path: Path

    def bytes_of(self, name: str) -> bytes:
        """Return a file's content."""
        return (self.path / name).read_bytes()


@dataclass(frozen=True, slots=True)
class Member:
    """Where an archive holds a file: the place of its local header, and its size there."""

    header: int
    packed: int
    deflated: bool
    crc: int


@dataclass(frozen=True)
class Archive:
    """Members of a zip file."""

    path: Path
    members: dict[str, Member]

    def bytes_of(self, name: str) -> bytes:
        """Return a member's content, checked against its CRC."""
        member = self.members[name]
        with open(self.path, "rb") as file:
            file.seek(member.header)
            local = file.read(30)
            if len(local) < 30 or local[:4] != b"PK\x03\x04":
                raise ValueError("is not where the archive's directory says")
            file.seek(sum(struct.unpack("<HH", local[26:30])), os.SEEK_CUR)
            content = file.read(member.packed)
        try:
            content = zlib.decompress(content, -15) if member.deflated else content
        except zlib.error as error:
            raise ValueError(f"cannot be unpacked: {error}") from None
        if zlib.crc32(content) != member.crc:
            raise ValueError("is damaged: its CRC is not the archive's")
        return content


class Files:
    """A collection of encoded images (see :class:`pydiffcore.data.source.Collection`)."""

    def __init__(
        self,
        where: str,
        store: Store,
        names: list[str],
        labels: Labels | None = None,
        class_names: tuple[str, ...] = (),
        faults: tuple[Fault, ...] = (),
        *,
        convert: bool = False,
    ) -> None:
        self.where, self.store, self.names, self.labels = where, store, names, labels
        self.class_names, self.faults, self.convert = class_names, faults, convert

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """Return an image's path below the folder, or in the archive."""
        return self.names[index]

    def item(self, index: int) -> tuple[Picture, int | None]:
        """Return an image and its label."""
        name = self.names[index]
        return decoded(self._bytes(name), name, convert=self.convert), self._label(name)

    def head(self, index: int) -> tuple[Shape, int | None]:
        """Return an image's shape and its label."""
        name = self.names[index]
        return head(self._bytes(name), name), self._label(name)

    def _label(self, name: str) -> int | None:
        return None if self.labels is None else self.labels.get(name)

    def _bytes(self, name: str) -> bytes:
        try:
            return self.store.bytes_of(name)
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror or error}") from None


def is_image(name: str) -> bool:
    """Whether a path names an image that nobody hid."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    return name.lower().endswith(ENDINGS) and not hidden


def folder(path: Path, *, convert: bool = False) -> Files:
    """Return the images below a directory.

    Raises:
        ValueError: there are none.
    """
    found = [
        (Path(base) / name).relative_to(path).as_posix()
        for base, _, names in os.walk(path, followlinks=True)
        for name in names
    ]
    names = sorted(name for name in found if is_image(name))
    if not names:
        raise ValueError(f"{path} holds no images, expected some of {', '.join(ENDINGS)}")
    store = Folder(path)
    if (path / TABLE).is_file():
        labels, classes, faults = _table((path / TABLE).read_bytes(), names, path)
        return Files(str(path), store, names, labels, classes, faults, convert=convert)
    if any("/" not in name for name in names):
        return Files(str(path), store, names, convert=convert)
    tops = {name: name.partition("/")[0] for name in names}
    classes = tuple(sorted(set(tops.values())))
    number = {name: place for place, name in enumerate(classes)}
    labels = {name: number[top] for name, top in tops.items()}
    return Files(str(path), store, names, labels, classes, convert=convert)


def zipped(path: Path, *, convert: bool = False) -> Files:
    """Return the images of a zip file.

    Raises:
        ValueError: it is no whole zip file, is encrypted, or holds no images.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if is_image(info.filename)]
            table = archive.read(TABLE) if TABLE in archive.namelist() else None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} is no whole zip file: {error}") from None
    members: dict[str, Member] = {}
    for info in infos:
        if info.flag_bits & 1 or info.compress_type not in (0, 8) or info.filename in members:
            raise ValueError(f"{path} has {info.filename} encrypted, twice, or packed by a method "
                             "other than deflate")  # fmt: skip
        members[info.filename] = Member(
            info.header_offset, info.compress_size, info.compress_type == 8, info.CRC
        )
    names = sorted(members)
    if not names:
        raise ValueError(f"{path} holds no images, expected some of {', '.join(ENDINGS)}")
    labels, classes, faults = _table(table, names, path) if table else (None, (), ())
    store = Archive(path, members)
    return Files(str(path), store, names, labels, classes, faults, convert=convert)


def _table(
    text: bytes, names: list[str], path: Path
) -> tuple[Labels | None, tuple[str, ...], tuple[Fault, ...]]:
    try:
        return read_labels(text, names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
