# SPDX-License-Identifier: Apache-2.0
"""Images as latents, once and for all: what a training in a smaller space reads."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pydiffcore.atomic import write_atomically
from pydiffcore.data.codec import Codec
from pydiffcore.data.source import Source

__all__ = ["encoded", "write_latents"]


def encoded(
    source: Source,
    codec: Codec,
    *,
    seed: int | None = None,
    batch: int = 64,
    dtype: str = "float32",
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """Return the latents [N, c, h, w] of all images, and their labels [N] or None.

    Args:
        source: of images.
        codec: what encodes them.
        seed: of a draw from the posterior of each image; its mean where None.
        batch: images read at once.
        dtype: float32 or float16.
        progress: what the numbers of the batches are passed through, such as a bar.

    Raises:
        TypeError: the source holds no images.
        ValueError: a latent is not finite in this dtype.
    """
    made: NDArray[Any] | None = None
    labels = np.empty(len(source), np.int64) if source.classes else None
    for first in progress(range(0, len(source), batch)):
        places = range(first, min(first + batch, len(source)))
        images, told = source.read(places)
        if images.is_floating_point():
            raise TypeError(f"the data is of {images.dtype}, expected images in uint8")
        seeds = None if seed is None else [(seed << 40) + place for place in places]
        latents = codec.encode(images, seeds).cpu().numpy().astype(dtype)
        if not np.isfinite(latents).all():
            raise ValueError(f"a latent of the images from {first} on is not finite in {dtype}")
        if made is None:
            made = np.empty((len(source), *latents.shape[1:]), dtype)
        made[first : first + len(latents)] = latents
        if labels is not None and told is not None:
            labels[first : first + len(latents)] = told.numpy()
    if made is None:
        raise ValueError("the data holds no images, expected at least one")
    return made, labels


def write_latents(
    path: str | Path,
    latents: NDArray[Any],
    labels: NDArray[np.int64] | None,
    about: dict[str, Any],
) -> None:
    """Write a .npz of latents, labels and, as JSON under "codec", what made them."""
    arrays: dict[str, Any] = {"x": latents, "codec": np.array(json.dumps(about))}
    if labels is not None:
        arrays["labels"] = labels
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomically(Path(path), buffer.getvalue())
