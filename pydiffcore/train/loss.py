# SPDX-License-Identifier: Apache-2.0
"""The denoising loss.

With D = c_skip x + c_out F(c_in x; c_noise), x = x0 + sigma z and a weight lambda(sigma) on the
error of D,

    L = E lambda |D − x0|² = E lambda c_out² |F − target|²,

where input and target come from one fused pass over the images.  EDM's weight is 1/c_out², so
that every level counts the same in F.  Source: Karras et al. 2022 (arXiv 2206.00364), eq. 8.

Functions that end in ``_terms`` return one loss per sample, for importance weights and for the mean
loss of each band of levels; the loss to minimise is their mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.ops.corruption import corrupted
from pydiffcore.ops.uncompiled import uncompiled
from pydiffcore.prediction import Prediction
from pydiffcore.train.frequencies import spectrum
from pydiffcore.train.laws.core import number
from pydiffcore.train.squared import check, squared_error, weighted_loss

__all__ = ["denoising_loss", "denoising_terms"]

Weight = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def denoising_loss(
    network: Callable[..., Tensor],
    images: Tensor,
    sigma: NDArray[np.float64],
    prediction: Prediction,
    *,
    seeds: Any,
    stream: int = 0,
    weight: Weight | None = None,
    condition: Mapping[str, Any] | None = None,
) -> Tensor:
    """Return lambda·|D − x0|², averaged over pixels and batch: a scalar with a graph.

    Args:
        network: called as ``network(input, c_noise, **condition)``.
        images: clean data [B, *], uint8 pixels or x0 in a floating-point dtype.
        sigma: levels [B].
        prediction: what the network's output means.
        seeds: B integers in [0, 2^64) that key the noise.
        stream: which noise of those seeds.
        weight: lambda as a function of sigma [B]; EDM's 1/c_out² where None.
        condition: keyword arguments of the network.

    Raises:
        TypeError, ValueError: an argument does not fit; see ``corrupt``.
    """
    noisy, target, c_noise, of = corrupted(images, sigma, prediction, seeds=seeds, stream=stream)
    output = network(noisy, c_noise, **(condition or {}))
    return weighted_loss(output, target, factor(weight, of.c_out, of.sigma, output, target))


def denoising_terms(
    network: Callable[..., Tensor],
    images: Tensor,
    sigma: NDArray[np.float64],
    prediction: Prediction,
    *,
    seeds: Any,
    stream: int = 0,
    weight: Weight | None = None,
    huber: float | None = None,
    scales: float = 1,
    each: float | None = None,
    condition: Mapping[str, Any] | None = None,
) -> Tensor:
    """Return lambda·|D − x0|², averaged over pixels: one loss per sample, [B], with a graph.

    Args:
        network, images, sigma, prediction, seeds, stream, weight, condition: of
            :func:`denoising_loss`.
        huber: c of a pseudo-Huber loss: with m the mean square of F − target of a sample,
            2 c (sqrt(m + c²) − c) in place of m, which is m where m is far below c² and 2 c sqrt(m)
            far above.  Song & Dhariwal 2023 (arXiv 2310.14189), section 3.3, scaled.
        scales: above 1, weigh the error's frequencies; see ``frequencies.spectrum``.
        each: the gradient that every loss will be given, where it is known: see ``squared_error``.

    Raises:
        TypeError, ValueError: an argument does not fit; see ``corrupt``.
    """
    noisy, target, c_noise, of = corrupted(images, sigma, prediction, seeds=seeds, stream=stream)
    output = network(noisy, c_noise, **(condition or {}))
    given = factor(weight, of.c_out, of.sigma, output, target)
    if scales != 1:
        output, target = spectrum(output, scales), spectrum(target, scales)
    if huber is None:
        return squared_error(output, target, given, each=each)
    m = pseudo_huber(squared_error(output, target), huber)
    return m if given is None else m * given


def pseudo_huber(m: Tensor, huber: float) -> Tensor:
    """Return 2 c (sqrt(m + c²) − c) of mean squares m with c = huber; ValueError unless c > 0."""
    c = number("huber", huber, above=0.0)
    return 2 * c * m / ((m + c * c).sqrt() + c)


def factor(
    weight: Weight | None,
    c_out: NDArray[np.float64],
    sigma: NDArray[np.float64],
    output: Tensor,
    target: Tensor,
) -> Tensor | None:
    """Return lambda c_out² in the dtype of output − target, [B], or None for a weight of None."""
    if weight is None:
        return None
    check(output, target)
    dtype = torch.promote_types(output.dtype, target.dtype)
    return _on_output(weight, c_out, sigma).to(output.device, dtype)


@uncompiled
def _on_output(weight: Weight, c_out: NDArray[np.float64], sigma: Any) -> Tensor:
    return torch.from_numpy(weight(np.asarray(sigma, np.float64)) * c_out**2)
