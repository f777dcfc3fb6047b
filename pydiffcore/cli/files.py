# SPDX-License-Identifier: Apache-2.0
"""Samples as files: a PNG grid, a folder of PNGs, or an NPZ, each with what draws it again."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.cli.draw import Drawing, read_drawing
from pydiffcore.cli.pictures import grid, to_pixels, write_png
from pydiffcore.plan import Plan

__all__ = ["Frame", "Saved", "check_form", "form_of", "framed", "read", "save"]

TEXTS = ("pydiffcore", "pydiffcore-plan")


@dataclass(frozen=True)
class Frame:
    """How samples become a picture.

    Attributes:
        low, high: values that become 0 and 255.
        zoom: pixels per value, in each direction.
        columns: of the grid.
        shown: numbers of the samples in the picture.

    """

    low: float
    high: float
    zoom: int
    columns: int
    shown: tuple[int, ...]


@dataclass(frozen=True)
class Saved:
    """What a file holds: ``array`` is pixels, or the samples of an NPZ (``frame`` is None)."""

    drawing: Drawing
    plan: Plan
    frame: Frame | None
    array: NDArray[Any]


def framed(samples: Tensor, frame: Frame) -> NDArray[np.uint8]:
    """Return the grid of the samples that the frame shows, [height, width(, 3)]."""
    return grid(
        to_pixels(samples[list(frame.shown)], frame.low, frame.high), frame.columns, frame.zoom
    )


def save(path: str, samples: Tensor, drawing: Drawing, plan: Plan, frame: Frame) -> str:
    """Write samples in the form that the path's ending names, and say what was written.

    ``.png`` is a grid, ``.npz`` the numbers, and a path without an ending a folder with one PNG
    per seed.
    """
    form, target = form_of(path), Path(path)
    texts = {"pydiffcore": drawing.text(), "pydiffcore-plan": plan.to_json()}
    target.parent.mkdir(parents=True, exist_ok=True)
    if form == "npz":
        from pydiffcore.atomic import write_atomically

        write_atomically(target, _npz(samples, drawing, texts))
        return f"{len(samples)} samples in {target}"
    if form == "png":
        write_png(target, framed(samples, frame), {**texts, **_described(frame)})
        return f"{len(frame.shown)} images in {target}"
    target.mkdir(exist_ok=True)
    digits = len(str(len(samples) - 1))
    for number, seed in enumerate(drawing.seeds):
        batch, place = _batch_of(drawing, number)
        texts["pydiffcore"] = batch.text()
        texts |= _described(replace(frame, columns=1, shown=(place,)))
        image = framed(samples, replace(frame, columns=1, shown=(number,)))
        write_png(target / f"{number:0{digits}d}_seed{seed}.png", image, texts)
    return f"{len(samples)} images in {target}/"


def form_of(path: str) -> str:
    """Return what a path's ending asks for: png, npz or folder."""
    ending = Path(path).suffix.lower()
    if path.endswith("/") or Path(path).is_dir() or not ending:
        return "folder"
    if ending not in (".png", ".npz"):
        raise ValueError(f"--out is {path}, expected file.png, file.npz or folder/")
    return ending[1:]


def check_form(path: str, shape: tuple[int, ...]) -> None:
    """Refuse a file that cannot hold samples of a shape, before they are drawn."""
    if form_of(path) != "npz" and (len(shape) != 3 or shape[0] not in (1, 3)):
        raise ValueError(
            f"--out is {path}, but samples of the shape {shape} are no images of 1 or 3 channels: "
            "write them to a file.npz"
        )


def _batch_of(drawing: Drawing, number: int) -> tuple[Drawing, int]:
    """Return the drawing of the batch that a sample was in, and its place there."""
    start = number - number % drawing.batch
    part = slice(start, start + drawing.batch)
    classes = drawing.classes and drawing.classes[part]
    return replace(drawing, seeds=drawing.seeds[part], classes=classes), number - start


def read(path: str) -> Saved:
    """Read what :func:`save` wrote.

    Raises:
        ValueError: the file holds nothing to draw again, or is truncated or altered.

    """
    if Path(path).suffix.lower() not in (".png", ".npz"):
        raise ValueError(f"the file is {path}, expected a .png or .npz of pydiffcore sample")
    numbers = Path(path).suffix.lower() == ".npz"
    texts, array = _read_npz(path) if numbers else _read_png(path)
    for key in TEXTS:
        if key not in texts:
            raise ValueError(f"{path} has no {key!r} in its metadata: nothing says how to draw it")
    try:
        plan = Plan.from_json(texts["pydiffcore-plan"])
    except ValueError as error:
        raise ValueError(f"the plan in {path} is damaged: {error}") from None
    drawing = read_drawing(texts["pydiffcore"], path)
    return Saved(drawing, plan, None if numbers else _read_frame(texts, path), array)


def _described(frame: Frame) -> dict[str, str]:
    return {"pydiffcore-frame": json.dumps(asdict(frame))}


def _read_frame(texts: dict[str, str], path: str) -> Frame:
    try:
        content = json.loads(texts["pydiffcore-frame"])
        return Frame(**{**content, "shown": tuple(content["shown"])})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not say how its pixels were made: {error!r}") from None


def _read_png(path: str) -> tuple[dict[str, str], NDArray[np.uint8]]:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("PNG files need Pillow: pip install 'pydiffcore[digits]'") from None
    try:
        with Image.open(path) as image:
            image.load()
            texts = {key: str(value) for key, value in image.info.items() if isinstance(key, str)}
            return texts, np.asarray(image)
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path} is no whole PNG file: {error}") from None


def _npz(samples: Tensor, drawing: Drawing, texts: dict[str, str]) -> bytes:
    arrays: dict[str, Any] = {
        "samples": samples.numpy(),
        "seeds": np.array(drawing.seeds, np.uint64),
        **{key: np.array(text) for key, text in texts.items()},
    }
    if drawing.classes is not None:
        arrays["classes"] = np.array(drawing.classes)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _read_npz(path: str) -> tuple[dict[str, str], NDArray[Any]]:
    import zipfile

    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
            present = [key for key in TEXTS if key in content.files]
            return {key: str(content[key]) for key in present}, content["samples"]
    except FileNotFoundError:
        raise
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no whole NPZ file of samples: {error}") from None


def default_zoom(shape: tuple[int, ...]) -> int:
    """Return a zoom that makes small images about 48 pixels wide."""
    return max(1, round(48 / shape[-1]))
