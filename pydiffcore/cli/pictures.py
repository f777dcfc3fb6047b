# SPDX-License-Identifier: Apache-2.0
"""Pictures: samples as pixels, grids of them, a trajectory, a loss curve."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["grid", "to_pixels", "write_grid", "write_losses", "write_png", "write_trajectory"]

GAP = 2
COMPRESSED_LIMIT = 500_000  # PNG readers refuse compressed texts that grow beyond a megabyte


def to_pixels(x0: Tensor, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Return round(255 (x0 − low)/(high − low)), clipped to 0 … 255, as uint8 of x0's shape."""
    scaled = (x0.detach().double() - low) * (255 / (high - low))
    return scaled.clamp(0, 255).round().to(torch.uint8).cpu()


def grid(images: Tensor, columns: int, enlarge: int = 1) -> NDArray[np.uint8]:
    """Return images in rows of ``columns`` with gaps between, [height, width(, 3)].

    Args:
        images: uint8 [N, C, H, W] with 1 or 3 channels.
        columns: images per row.
        enlarge: pixels per value, in each direction.

    Raises:
        ValueError: the images have another number of axes or channels.

    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"samples of the shape {tuple(images.shape[1:])} are no images, expected (1, H, W) "
            "or (3, H, W); a file.npz takes any shape"
        )
    large = images.permute(0, 2, 3, 1).numpy().repeat(enlarge, axis=1).repeat(enlarge, axis=2)
    count, height, width, channels = large.shape
    columns = max(min(columns, count), 1)
    gap = GAP if count > 1 else 0
    rows = -(-count // columns)
    canvas = np.zeros((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), "u1")
    for number, image in enumerate(large):
        top = gap + number // columns * (height + gap)
        left = gap + number % columns * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas[:, :, 0] if channels == 1 else canvas


def write_png(path: Path, image: NDArray[np.uint8], text: Mapping[str, str]) -> None:
    """Write an image [H, W] or [H, W, 3] atomically, with texts in its metadata."""
    from pydiffcore.atomic import write_atomically

    try:
        from PIL import Image, PngImagePlugin
    except ImportError:
        raise ImportError("PNG files need Pillow: pip install 'pydiffcore[digits]'") from None
    metadata = PngImagePlugin.PngInfo()
    for key, value in text.items():
        metadata.add_itxt(key, value, zip=len(value) < COMPRESSED_LIMIT)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", pnginfo=metadata)
    write_atomically(path, buffer.getvalue())


def write_grid(
    path: Path,
    images: Tensor,
    columns: int,
    *,
    enlarge: int = 1,
    text: Mapping[str, str] | None = None,
) -> None:
    """Write images, uint8 [N, C, H, W], as one PNG; see :func:`grid` and :func:`write_png`."""
    write_png(path, grid(images, columns, enlarge), text or {})


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("figures need matplotlib: pip install 'pydiffcore[digits]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def write_trajectory(
    path: Path, queries: Tensor, denoised: Tensor, sigmas: Sequence[float]
) -> None:
    """Draw what the network was asked and what it answered, from noise to data.

    Args:
        path: of the PNG.
        queries: x [steps, N, C, H, W] in the EDM frame; drawn over its own deviation.
        denoised: D of the same shape.
        sigmas: level of each query.

    """
    steps, samples = queries.shape[:2]
    figure = _figure(0.75 * steps + 0.6, 1.5 * samples + 0.5)
    axes = figure.subplots(2 * samples, steps, squeeze=False)
    for step in range(steps):
        spread = (1 + sigmas[step] ** 2) ** 0.5
        for sample in range(samples):
            for row, (x, bound) in enumerate(((queries, spread), (denoised, 1.0))):
                image = to_pixels(x[step, sample], -bound, bound).permute(1, 2, 0).numpy()
                axis = axes[2 * sample + row, step]
                axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
                axis.set_xticks([])
                axis.set_yticks([])
                if step == 0:
                    axis.set_ylabel("xD"[row], rotation=0, labelpad=8)
        axes[0, step].set_title(f"σ = {sigmas[step]:.3g}", fontsize=8)
    figure.savefig(path, dpi=120)


def write_losses(path: Path, steps: Sequence[int], losses: Sequence[float | None]) -> None:
    """Draw the losses of a log's lines, each the mean up to its step, and their running mean."""
    values = np.array(losses, np.float64)  # None, where no step was finite, is a gap
    window = max(len(values) // 20, 1)
    figure = _figure(7, 4)
    axis = figure.subplots()
    axis.plot(steps, values, color="0.8", linewidth=1, label="each line of the log")
    if len(values) >= window:
        mean = np.convolve(values, np.ones(window) / window, mode="valid")
        axis.plot(steps[window - 1 :], mean, label=f"mean of {window} lines")
    axis.set_yscale("log")
    axis.set_xlabel("step")
    axis.set_ylabel("loss")
    axis.legend()
    figure.savefig(path, dpi=120)
