# SPDX-License-Identifier: Apache-2.0
"""Small files of every format of training data, for tests."""

import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib

import numpy as np
from PIL import Image


def pixels(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def png(picture, **options):
    """A PNG file of uint8 [C, H, W]."""
    file = io.BytesIO()
    array = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(array)).save(file, "PNG", **options)
    return file.getvalue()


def odd(mode, size=(8, 8)):
    """A file of an image that is whole, but not grey or RGB of 8 bits."""
    file, kind = io.BytesIO(), "TIFF" if mode == "CMYK" else "PNG"
    if mode == "I;16":
        Image.fromarray(pixels(1, *size).astype(np.uint16) * 257).save(file, kind)
    elif mode == "RGB;16":
        file.write(png16(pixels(1, *size, 3)))
    else:
        Image.fromarray(pixels(1, *size, len(mode)), mode=None).convert(mode).save(file, kind)
    return file.getvalue()


def png16(array):
    """A PNG file of three channels of 16 bits, which Pillow cannot write."""

    def chunk(name, content):
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    height, width, _ = array.shape
    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in array)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def write_zip(path, files, labels=None, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        if labels is not None:
            archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return path


def old_pickle(data, labels):
    """A batch as Python 2 pickled it: every string is bytes, opcode by opcode."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    raw = data.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85q\x07"
        + text(b"b") + b"q\x08\x87q\x09Rq\x0a(K\x01" + b"M" + struct.pack("<H", len(data)) + b"M"
        + struct.pack("<H", data.shape[1]) + b"\x86q\x0bcnumpy\ndtype\nq\x0c" + text(b"u1")
        + b"q\x0dK\x00K\x01\x87q\x0eRq\x0f(K\x03" + text(b"|")
        + b"q\x10NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x11b\x89"
        + b"T" + struct.pack("<i", len(raw)) + raw + b"q\x12tq\x13b"
    )  # fmt: skip
    numbers = b"]q\x03(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return (
        b"\x80\x02}q\x01(" + text(b"batch_label") + b"q\x02" + text(b"training batch 1 of 5")
        + text(b"labels") + numbers + text(b"data") + b"q\x04" + array + b"u."
    )  # fmt: skip


def write_cifar(path, members):
    """An archive of pickles: bytes are taken as they are, everything else is pickled."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            raw = content if isinstance(content, bytes) else pickle.dumps(content, protocol=2)
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return path
