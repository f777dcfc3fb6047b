# SPDX-License-Identifier: Apache-2.0
"""Augmentation of images and labels, as a pure function of each sample's seed.

Every parameter of a sample is a function of its seed alone, and so is every bit of its image:
batches, their order and the number of ranks change nothing.

Source of the non-leaking augmentation: Karras et al., "Elucidating the Design Space of
Diffusion-Based Generative Models" (arXiv 2206.00364), appendix F.2 and its table.  An image
undergoes one geometric transformation, and the network is told which, in nine numbers; told nine
zeros when sampling, it draws images as they were before.

    parameter                     transformation, the first one first        told
    a0, a1 of {0, 1}, even odds   mirror x, mirror y                         a0, a1
    a2     normal                 scale by s^a2                              a2
    a3     uniform on (−π, π)     rotate by −a3                              cos a3 − 1, sin a3
    a4     uniform on (−π, π)     stretch by r^a5 along the direction a4,    a5 cos a4, a5 sin a4
    a5     normal                     by r^−a5 across it
    a6, a7 normal                 shift by t·a6 widths, t·a7 heights         a6, a7

a0 is drawn for every image; a1, a2, a3, (a4, a5) and (a6, a7) each with probability p (12 % for
CIFAR-10, 15 % for FFHQ and AFHQ); s = r = 2^0.2, t = 1/8.  Ours is the resampling: doubled by
Lanczos-3, read bilinearly where the transformation says, mirrored beyond the border, halved by
Lanczos-3 and clamped.  Images of which nothing but a mirroring is asked keep their pixels exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.data.chance import uniforms
from pydiffcore.ops.noise import AUGMENTATION, normal, reference_normal

__all__ = ["CONDITIONING", "Augmentation", "conditioning", "dropped", "mirrored"]

CONDITIONING = 9
DROP = 0  # streams of the purpose AUGMENTATION; 1 + epoch are those of the digits' orders
CHOICES, SIZES, MIRROR = 2**31, 2**31 + 1, 2**31 + 2
GATES = 6  # a0, a1, scale, rotation, stretch, shift

Parameters = NDArray[np.float64]  # [B, 8]: a0 … a7


@dataclass(frozen=True)
class Augmentation:
    """The non-leaking augmentation; ``p = 0`` turns all of it off, mirroring included.

    Attributes:
        p: probability of each transformation but the mirroring of x.
        mirror: probability that a0 is drawn, 1 in the paper.
        scale, stretch: factors that one standard deviation stands for.
        shift: share of the image that one standard deviation stands for.

    Raises:
        ValueError: a number is out of its range.
    """

    p: float = 0.12
    mirror: float = 1.0
    scale: float = 2**0.2
    stretch: float = 2**0.2
    shift: float = 0.125

    def __post_init__(self) -> None:
        for name in ("p", "mirror"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a share in [0, 1]")
        for name in ("scale", "stretch"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a factor above 0")
        if not 0 <= self.shift < math.inf:
            raise ValueError(f"shift is {self.shift}, expected at least 0")

    def __call__(self, images: Tensor, seeds: Any) -> tuple[Tensor, Tensor]:
        """Return x0, float32 [B, C, H, W] in [−1, 1], and what the network is told, [B, 9].

        Args:
            images: uint8 [B, C, H, W].
            seeds: one per sample, in [0, 2^64).
        """
        if len(images) != len(seeds):
            raise ValueError(f"images and seeds have {len(images)} and {len(seeds)} entries")
        a = self.parameters(seeds)
        told = torch.from_numpy(conditioning(a)).float().to(images.device)
        return self.transformed(images, a), told

    def parameters(self, seeds: Any) -> Parameters:
        """Return a0 … a7 of each seed, [B, 8]; 0 where a transformation is not in force."""
        u = uniforms(seeds, GATES + 4, stream=CHOICES)
        z = reference_normal(seeds, 4, purpose=AUGMENTATION, stream=SIZES).astype(np.float64)
        chances = [self.mirror if self.p else 0.0, *[self.p] * (GATES - 1)]
        gates = u[:, :GATES] < np.array(chances)
        x, y, scale, rotation, stretch, shift = gates.T
        fair = u[:, GATES : GATES + 2] < 0.5
        angle = math.pi * (2 * u[:, GATES + 2 :] - 1)
        return np.stack(
            [
                x & fair[:, 0], y & fair[:, 1], scale * z[:, 0], rotation * angle[:, 0],
                stretch * angle[:, 1], stretch * z[:, 1], shift * z[:, 2], shift * z[:, 3],
            ],
            axis=1,
        )  # fmt: skip

    def transformed(self, images: Tensor, a: Parameters) -> Tensor:
        """Return x0 of uint8 images under the parameters a, [B, 8]."""
        x = images.float() / 127.5 - 1
        for column, axis in ((0, -1), (1, -2)):
            which = torch.from_numpy(a[:, column] != 0).to(x.device)
            x = torch.where(which[:, None, None, None], x.flip(axis), x)
        moved = np.flatnonzero((a[:, [2, 3, 5, 6, 7]] != 0).any(axis=1))
        if not moved.size:
            return x
        where = torch.from_numpy(moved).to(x.device)
        height, width = images.shape[-2:]
        x[where] = _warped(x[where], self._sources(a[moved], height, width))
        return x

    def _sources(self, a: Parameters, height: int, width: int) -> NDArray[np.float64]:
        """Return the matrices [B, 3, 3] from places in the result to places in the image.

        Places are in pixels from the centre, x to the right and y down.
        """
        _, _, a2, a3, a4, a5, a6, a7 = a.T
        zero = np.zeros_like(a2)
        forward = (
            _shift(self.shift * width * a6, self.shift * height * a7)
            @ _rotation(a4)
            @ _scaling(self.stretch**a5, self.stretch**-a5)
            @ _rotation(-a4)
            @ _rotation(-a3)
            @ _scaling(self.scale**a2, self.scale ** (a2 + zero))
        )
        return np.linalg.inv(forward).astype(np.float64)


def conditioning(a: Parameters) -> NDArray[np.float64]:
    """Return the nine numbers that tell the network of a0 … a7, [B, 9]; 0 for no transformation."""
    a0, a1, a2, a3, a4, a5, a6, a7 = a.T
    return np.stack(
        [a0, a1, a2, np.cos(a3) - 1, np.sin(a3), a5 * np.cos(a4), a5 * np.sin(a4), a6, a7], axis=1
    )


def mirrored(images: Tensor, seeds: Any) -> Tensor:
    """Return images with every second one, by its seed's word, mirrored: the same dtype and bits.

    This is the plain flip of data that knows no left and right; the network is not told.
    """
    which = torch.from_numpy(uniforms(seeds, 1, stream=MIRROR)[:, 0] < 0.5).to(images.device)
    return torch.where(which[:, None, None, None], images.flip(-1), images)


def dropped(labels: Tensor, seeds: Any, share: float, null: int) -> Tensor:
    """Return labels with a share of them replaced by ``null``, for guidance.

    The choice is that of the digits' training: a normal of the sample's seed below its quantile.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}, expected a share in [0, 1]")
    chance = torch.special.ndtr(normal(seeds, (), purpose=AUGMENTATION, stream=DROP).double())
    return torch.where((chance < share).to(labels.device), null, labels)


def _matrix(*rows: tuple[Any, Any, Any]) -> NDArray[np.float64]:
    size = max(np.size(value) for row in rows for value in row)
    full = [[np.broadcast_to(np.asarray(v, np.float64), size) for v in row] for row in rows]
    return np.moveaxis(np.array(full), -1, 0)


def _scaling(x: Any, y: Any) -> NDArray[np.float64]:
    return _matrix((x, 0, 0), (0, y, 0), (0, 0, np.ones_like(x)))


def _rotation(angle: Any) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return _matrix((c, -s, 0), (s, c, 0), (0, 0, 1))


def _shift(x: Any, y: Any) -> NDArray[np.float64]:
    return _matrix((1, 0, x), (0, 1, y), (0, 0, 1))


def _warped(x: Tensor, sources: NDArray[np.float64]) -> Tensor:
    """Return images [B, C, H, W] read at sources · place, between two Lanczos filters."""
    height, width = x.shape[-2:]
    x = _resampled(x, 2 * height, 2 * width)
    # grid_sample wants −1 … 1 from edge to edge; the centres of the doubled pixels are at these.
    places = [
        torch.arange(1 - size, size, 2, dtype=torch.float64) / size
        for size in (2 * width, 2 * height)
    ]
    X, Y = places[0][None, None, :] * (width / 2), places[1][None, :, None] * (height / 2)
    m = torch.from_numpy(sources)[:, :, :, None, None]  # [B, 3, 3, 1, 1]
    grid = torch.stack(
        [
            (m[:, row, 0] * X + m[:, row, 1] * Y + m[:, row, 2]) / (size / 2)
            for row, size in ((0, width), (1, height))
        ],
        dim=-1,
    ).to(x.device, torch.float32)
    x = torch.nn.functional.grid_sample(
        x, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return _resampled(x, height, width).clamp(-1, 1)


def _resampled(x: Tensor, height: int, width: int) -> Tensor:
    """Return images in another size.

    One product of matrices per image, so that its bits do not depend on its batch, as those of a
    convolution of all may.
    """
    rows = _lanczos(x.shape[-2], height).to(x.device)
    columns = _lanczos(x.shape[-1], width).T.to(x.device)
    return torch.stack([rows @ (image @ columns) for image in x])


@lru_cache(16)
def _lanczos(old: int, new: int) -> Tensor:
    """Return the matrix [new, old] of Lanczos-3 from one size to another, the ends mirrored."""
    wide = max(1.0, old / new)
    centre = (np.arange(new) + 0.5) * (old / new) - 0.5
    reach = math.ceil(3 * wide)
    taps = np.floor(centre).astype(int)[:, None] + np.arange(1 - reach, reach + 1)
    distance = (taps - centre[:, None]) / wide
    weights = np.where(abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    taps %= 2 * old
    matrix = np.zeros((new, old))
    np.add.at(matrix, (np.arange(new)[:, None], np.minimum(taps, 2 * old - 1 - taps)), weights)
    return torch.from_numpy(matrix.astype(np.float32))
