# SPDX-License-Identifier: Apache-2.0
"""One encoded image: bytes ↔ uint8 [C, H, W], C = 1 or 3.

Nothing is lost in silence.  Grey, RGB, black-and-white and opaque palette images are taken as they
are, turned as their EXIF orientation says; an alpha channel is dropped where it is opaque all over.
What would lose something, a transparent pixel, the lower byte of 16 bits, CMYK inks, further
frames, is refused, or with ``convert`` done: composited on white, cut to 8 bits, converted to RGB.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pydiffcore.data.source import Picture, Shape

__all__ = ["ENDINGS", "as_channels", "channels_first", "decoded", "encoded", "fitted", "from_pil"]

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm",
           ".npy")  # fmt: skip
PNG = b"\x89PNG\r\n\x1a\n"
PNG_DEPTH = 24  # the byte of a PNG file that holds its bits per channel
ORIENTATION = 0x0112  # EXIF tag
PLAIN = ("L", "RGB", "1", "P")
ALPHA = ("LA", "PA", "RGBA", "La", "RGBa")


def pillow() -> Any:
    """Return Pillow's module of images."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("image files need Pillow: pip install 'pydiffcore[data]'") from None
    return Image


def decoded(content: bytes, name: str, *, convert: bool = False) -> Picture:
    """Return the image that a file's bytes hold.

    Args:
        content: the whole file.
        name: of the file; ``.npy`` holds an array, everything else an image.
        convert: do what loses something instead of refusing it.

    Raises:
        ValueError: what is wrong, as the end of a sentence that starts with the file's name.
    """
    if name.lower().endswith(".npy"):
        return _array(content)
    Image = pillow()
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            deep = content[:8] == PNG and content[PNG_DEPTH] == 16
            return from_pil(image, convert=convert, deep=deep)
    except _Refused:
        raise
    except Exception as error:  # Pillow raises a dozen kinds for broken files
        raise ValueError(f"cannot be read: {_said(error)}") from None


def head(content: bytes, name: str) -> Shape:
    """Return a file's shape without decoding its pixels: they may still be broken."""
    if name.lower().endswith(".npy"):
        return _shape(_array(content))
    Image = pillow()
    try:
        with Image.open(io.BytesIO(content)) as image:
            # Asked for EXIF, Pillow decodes a whole PNG to look behind its pixels.
            has_exif = image.format != "PNG" or "exif" in image.info
            turned = has_exif and image.getexif().get(ORIENTATION, 1) >= 5
            width, height = image.size[::-1] if turned else image.size
            return (1 if image.mode in ("L", "1", "LA") else 3), height, width
    except Exception as error:
        raise ValueError(f"cannot be read: {_said(error)}") from None


class _Refused(ValueError):
    """An image that is whole, but not of a kind that is taken as it is."""


def from_pil(image: Any, *, convert: bool = False, deep: bool = False) -> Picture:
    """Return a Pillow image as uint8 [C, H, W]; ``deep`` says that its file had 16 bits."""
    from PIL import ImageOps

    if getattr(image, "n_frames", 1) > 1 and not convert:
        raise _Refused(f"has {image.n_frames} frames, expected 1")
    if image.getexif().get(ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    mode = image.mode
    if deep or mode.startswith(("I", "F")):
        if not convert:
            raise _Refused("has more than 8 bits per channel, expected 8")
        image = _shallow(image)
        mode = image.mode
    if mode in ALPHA or "transparency" in image.info:
        image = _opaque(image, convert)
    elif mode not in PLAIN:
        if not convert:
            raise _Refused(f"is a {mode} image, expected grey or RGB")
        image = image.convert("RGB")
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode == "P":
        image = image.convert("RGB")
    array = np.array(image)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _shallow(image: Any) -> Any:
    """Return the upper 8 of a grey image's 16 bits; Pillow has cut colours to 8 by itself."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    if image.mode == "F" or values.max(initial=0) >= 1 << 16 or values.min(initial=0) < 0:
        raise _Refused(f"is a {image.mode} image of values that are no 16 bits")
    return pillow().fromarray((values.astype(np.uint16) >> 8).astype(np.uint8))


def _opaque(image: Any, convert: bool) -> Any:
    """Return an image without its alpha channel, composited on white where it shows through."""
    Image = pillow()
    grey = image.mode in ("L", "LA", "La", "1")
    colour = image.convert("RGBA")
    alpha = colour.getchannel("A")
    if alpha.getextrema() != (255, 255):
        if not convert:
            raise _Refused("has transparent pixels, expected grey or RGB")
        colour = Image.alpha_composite(Image.new("RGBA", image.size, "white"), colour)
    return colour.convert("RGB").getchannel("R") if grey else colour.convert("RGB")


def _array(content: bytes) -> Picture:
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:
        raise ValueError(f"is no NumPy file: {_said(error)}") from None
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        raise ValueError(f"holds {getattr(array, 'dtype', 'several arrays')}, expected uint8")
    if array.ndim not in (2, 3):
        raise ValueError(f"has the shape {array.shape}, expected [C, H, W], [H, W, C] or [H, W]")
    return np.ascontiguousarray(channels_first(array[None])[0])


def channels_first(images: NDArray[Any]) -> NDArray[Any]:
    """Return [N, H, W], [N, H, W, C] or [N, C, H, W] as [N, C, H, W], C = 1 or 3.

    Raises:
        ValueError: the shape is none of these, or could be both of the last two.
    """
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4:
        first, last = images.shape[1] in (1, 3), images.shape[3] in (1, 3)
        if first and not last:
            return images
        if last and not first:
            return images.transpose(0, 3, 1, 2)
        if first and last and images.shape[2] in (1, 3):  # of 1 or 3 pixels: read as documented
            return images
    raise ValueError(
        f"the shape is {images.shape}, expected [N, C, H, W], [N, H, W, C] or [N, H, W] "
        "with 1 or 3 channels"
    )


def as_channels(picture: Picture, channels: int) -> Picture:
    """Return a grey image as one of three equal channels, where three are wanted."""
    return np.repeat(picture, channels, axis=0) if len(picture) == 1 < channels else picture


def fitted(picture: Picture, size: tuple[int, int] | None, crop: str) -> Picture:
    """Return an image in another size, by Lanczos resampling.

    Args:
        picture: uint8 [C, H, W].
        size: (height, width), None to keep the size.
        crop: ``center`` cuts the largest centred part of the size's proportions, a square without
            a size; ``none`` refuses an image of other proportions.

    Raises:
        ValueError: the image has other proportions and is not to be cropped.
    """
    _, height, width = picture.shape
    tall, wide = size if size is not None else (1, 1)
    if crop == "center":
        side = min(height / tall, width / wide)  # of the proportions' unit, in pixels
        cut = max(1, min(height, round(side * tall))), max(1, min(width, round(side * wide)))
        top, left = (height - cut[0]) // 2, (width - cut[1]) // 2
        picture = picture[:, top : top + cut[0], left : left + cut[1]]
    elif size is not None and height * wide != width * tall:
        raise ValueError(f"is {width}×{height}, not of the proportions {wide}×{tall}")
    if size is None or picture.shape[1:] == size:
        return np.ascontiguousarray(picture)
    Image = pillow()
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((wide, tall), Image.LANCZOS))
        for plane in picture
    ]
    return np.stack(planes)


def encoded(picture: Picture) -> bytes:
    """Return an image as a PNG file, the same bytes for the same pixels and Pillow."""
    Image, file = pillow(), io.BytesIO()
    array = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(array)).save(file, "PNG", compress_level=6)
    return file.getvalue()


def _shape(picture: Picture) -> Shape:
    channels, height, width = picture.shape
    return channels, height, width


def _said(error: Exception) -> str:
    if type(error).__name__ == "UnidentifiedImageError":  # its text is a memory address
        return "no kind of image that Pillow knows"
    return " ".join(str(error).split()) or type(error).__name__
