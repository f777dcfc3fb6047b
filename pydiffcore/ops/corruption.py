# SPDX-License-Identifier: Apache-2.0
"""Training corruption: from clean data to what the network sees and what it should answer.

With x = x0 + sigma z and D = c_skip x + c_out F(c_in x; c_noise), the network that denoises
perfectly answers F = (x0 − c_skip x) / c_out.  Hence, per sample,

    input  = p x0 + q z,    p = c_in,                    q = c_in sigma
    target = u x0 + v z,    u = (1 − c_skip) / c_out,    v = −c_skip sigma / c_out

in one pass over the data, z drawn in the kernel from the sample's seed.
Source: Karras et al. 2022 (arXiv 2206.00364), eq. 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.ops import native
from pydiffcore.ops.noise import TRAINING, checked_word, normal, seed_keys
from pydiffcore.ops.pool import empty
from pydiffcore.ops.uncompiled import uncompiled
from pydiffcore.prediction import Prediction

__all__ = ["Coefficients", "coefficients_of", "corrupt", "corrupted"]

IMAGE_DTYPES = (torch.uint8, torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Coefficients:
    """What a prediction makes of levels: all that a corruption needs to know of them.

    Fields:
        prediction: that prediction.
        sigma: the levels, float64 [B].
        columns: p, q, u, v, float32 [B, 4].
        c_noise: float32 [B].
        c_out: float64 [B].
    """

    prediction: Prediction
    sigma: NDArray[np.float64]
    columns: NDArray[np.float32]
    c_noise: NDArray[np.float32]
    c_out: NDArray[np.float64]

    def __getitem__(self, part: slice) -> Coefficients:
        rows = (self.sigma[part], self.columns[part], self.c_noise[part], self.c_out[part])
        return Coefficients(self.prediction, *rows)


def coefficients_of(sigma: NDArray[np.float64], prediction: Prediction) -> Coefficients:
    """Return the coefficients of levels, float64 [B]."""
    c_skip, c_out, c_in, c_noise = prediction.coefficients(sigma)
    columns = (c_in, c_in * sigma, (1 - c_skip) / c_out, -c_skip * sigma / c_out)
    stacked = np.stack(columns, axis=1).astype(np.float32)
    return Coefficients(prediction, sigma, stacked, c_noise.astype(np.float32), c_out)


def corrupt(
    images: Tensor,
    sigma: Any,
    prediction: Prediction,
    *,
    seeds: Any,
    stream: int = 0,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (input, target, c_noise) of a batch: input = p x0 + q z, target = u x0 + v z.

    Args:
        images: clean data [B, *]: uint8 pixels, which stand for x0 = pixel / 127.5 − 1, or x0
            itself in float32, bfloat16 or float16.
        sigma: levels [B], positive and finite; a tensor, an array or a sequence; or the
            ``coefficients_of`` such levels, which may be those of many steps in slices.
        prediction: what the network's output means.
        seeds: B integers in [0, 2^64); z is their TRAINING noise.
        stream: which noise, for example the epoch, in [0, 2^32).
        dtype: of the network input; the target is float32.

    Returns:
        input [B, *], target [B, *] and c_noise float32 [B], on the device of ``images``.  Where
        the images require a gradient, as those of an encoder that learns, input and target have it.

    Raises:
        TypeError: images or dtype of an unsupported kind.
        ValueError: sigma or seeds do not fit the batch, or sigma is not positive and finite, or
            holds coefficients of another prediction.

    """
    return _corrupted(images, sigma, prediction, seeds, stream, dtype)[:3]


def corrupted(
    images: Tensor, sigma: Any, prediction: Prediction, *, seeds: Any, stream: int
) -> tuple[Tensor, Tensor, Tensor, Coefficients]:
    """Return what :func:`corrupt` does, and the coefficients."""
    return _corrupted(images, sigma, prediction, seeds, stream, torch.float32)


@uncompiled
def _corrupted(
    images: Tensor, sigma: Any, prediction: Prediction, seeds: Any, stream: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Coefficients]:
    _check_kinds(images, dtype)
    keys = seed_keys(seeds)
    if len(keys) != len(images):
        raise ValueError(f"seeds has {len(keys)} entries, expected {len(images)}, one per sample")
    if not isinstance(sigma, Coefficients):
        sigma = coefficients_of(_checked_sigma(sigma, len(images)), prediction)
    elif sigma.prediction != prediction or len(sigma.sigma) != len(images):
        raise ValueError(
            f"sigma holds coefficients of {len(sigma.sigma)} levels for {sigma.prediction.name}, "
            f"expected {len(images)} for {prediction.name}"
        )
    c_noise = torch.tensor(sigma.c_noise, device=images.device)  # a copy, for a network to scale
    stream = checked_word("stream", stream)
    if native.unsupported(images.device.type):
        pair = _with_torch(images, sigma.columns, keys, stream, dtype)
        return *_graphed(images, sigma.columns, *pair), c_noise, sigma
    input = empty(images.shape, dtype, images.device)
    target = empty(images.shape, torch.float32, images.device)
    native.corrupt(
        images.detach().contiguous(), sigma.columns, keys, input, target,
        purpose=TRAINING, stream=stream,
    )  # fmt: skip
    return *_graphed(images, sigma.columns, input, target), c_noise, sigma


def _graphed(
    images: Tensor, coefficients: NDArray[np.float32], input: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Give input and target their gradients to the data, p and u, where those are wanted."""
    if not (images.requires_grad and torch.is_grad_enabled()):
        return input, target
    p, _, u, _ = _columns(coefficients, images)
    nothing = images.float() - images.detach().float()
    return input + (p * nothing).to(input.dtype), target + u * nothing


def _columns(coefficients: NDArray[np.float32], images: Tensor) -> tuple[Tensor, ...]:
    columns = torch.from_numpy(coefficients).to(images.device)
    return tuple(c.view(-1, *(1,) * (images.ndim - 1)) for c in columns.unbind(1))


def _check_kinds(images: Tensor, dtype: torch.dtype) -> None:
    if not isinstance(images, Tensor):
        raise TypeError(f"images is {type(images).__name__}, expected a torch.Tensor")
    if images.dtype not in IMAGE_DTYPES or images.ndim < 1:
        raise TypeError(
            f"images has dtype {images.dtype} and shape {tuple(images.shape)}, expected [B, *] of "
            f"{', '.join(map(str, IMAGE_DTYPES))}"
        )
    if dtype not in native.IO_DTYPES:
        raise TypeError(f"dtype is {dtype}, expected a floating-point dtype")


def _checked_sigma(sigma: Any, batch: int) -> NDArray[np.float64]:
    if isinstance(sigma, Tensor):
        sigma = sigma.detach().double().cpu().numpy()
    levels = np.asarray(sigma, np.float64)
    if levels.shape != (batch,):
        raise ValueError(f"sigma has shape {levels.shape}, expected ({batch},), one per sample")
    if levels.size and not (levels.min() > 0 and levels.max() < np.inf):
        raise ValueError(f"sigma is {levels}, expected positive and finite levels")
    return levels


def _with_torch(
    images: Tensor,
    coefficients: NDArray[np.float32],
    seeds: NDArray[np.uint64],
    stream: int,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """The kernel's arithmetic in torch operations, on any device."""
    x0 = images.detach().float()
    if images.dtype == torch.uint8:
        x0 = x0 * float(np.float32(1 / 127.5)) - 1
    z = normal(seeds, images.shape[1:], purpose=TRAINING, stream=stream, device=images.device)
    p, q, u, v = _columns(coefficients, images)
    return (p * x0 + q * z).to(dtype), u * x0 + v * z
