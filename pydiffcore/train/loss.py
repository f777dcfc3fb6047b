# SPDX-License-Identifier: Apache-2.0
"""The denoising loss and the law of the noise levels it is taken at.

With D = c_skip x + c_out F(c_in x; c_noise), x = x0 + sigma z and a weight lambda(sigma) on the
error of D,

    L = E lambda |D − x0|² = E lambda c_out² |F − target|²,

where input and target come from one fused pass over the images.  EDM's weight is 1/c_out², so
that every level counts the same in F.  Source: Karras et al. 2022 (arXiv 2206.00364), eq. 8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.ops.corruption import corrupt
from pydiffcore.ops.noise import LEVEL, checked_seeds, normal
from pydiffcore.prediction import Prediction

__all__ = ["denoising_loss", "lognormal_levels"]

Weight = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def lognormal_levels(
    seeds: Any, mean: float = -1.2, std: float = 1.2, *, stream: int = 0
) -> NDArray[np.float64]:
    """Return levels with ln sigma ~ N(mean, std²), stratified over the batch: float64 [B].

    Sample i takes the quantile (i + U_i)/B of the law, U_i uniform from its seed, so that every
    batch covers the law evenly.  The law is that of Karras et al. 2022, table 1; stratification
    lowers the variance of the gradient.

    Args:
        seeds: B integers in [0, 2^64).
        mean, std: of ln sigma, P_mean and P_std of the paper.
        stream: which levels of those seeds.

    Raises:
        ValueError: std is not positive.
    """
    if not std > 0:
        raise ValueError(f"std is {std}, expected a positive number")
    keys = checked_seeds(seeds)
    z = normal(keys, (), purpose=LEVEL, stream=stream).double()
    uniform = torch.special.ndtr(z).clamp(1e-6, 1 - 1e-6)
    quantile = (torch.arange(len(keys), dtype=torch.float64) + uniform) / len(keys)
    return torch.exp(mean + std * torch.special.ndtri(quantile)).numpy()


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
    noisy, target, c_noise = corrupt(images, sigma, prediction, seeds=seeds, stream=stream)
    error = (network(noisy, c_noise, **(condition or {})) - target).square()
    if weight is None:
        return error.mean()
    c_out = prediction.coefficients(sigma)[1]
    factor = torch.from_numpy(weight(np.asarray(sigma, np.float64)) * c_out**2).to(error)
    return (error.flatten(1).mean(1) * factor).mean()
