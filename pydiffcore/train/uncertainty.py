# SPDX-License-Identifier: Apache-2.0
"""Losses whose own size is learned: per level (EDM2), and per element.

    u per level:      lambda |D − x0|² e^(−u) + u          least where u = ln E[lambda |D − x0|²]
    v per element:    ((F − target)² e^(−v) + v)/2         least where v = ln E[(F − target)² | x]

Both are the negative log-likelihood of a Gaussian whose variance is learned.  The first makes every
level's gradient about the same size; the second gives the posterior variance of each element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.denoiser import halves
from pydiffcore.ops.corruption import corrupt, corrupted
from pydiffcore.prediction import Prediction
from pydiffcore.train.loss import Weight, factor
from pydiffcore.train.squared import squared_error

__all__ = ["uncertainty_terms", "variance_terms"]


def uncertainty_terms(
    network: Callable[..., Tensor],
    images: Tensor,
    sigma: NDArray[np.float64],
    prediction: Prediction,
    log_variance: Callable[[Tensor], Tensor],
    *,
    seeds: Any,
    stream: int = 0,
    weight: Weight | None = None,
    condition: Mapping[str, Any] | None = None,
) -> Tensor:
    """Return lambda |D − x0|² e^(−u) + u, the square averaged over pixels: [B], with a graph.

    Args:
        network, images, sigma, prediction, seeds, stream, weight, condition: of
            ``denoising_loss``.
        log_variance: c_noise [B] -> u [B], trained with the network and not needed after.

    Raises:
        TypeError, ValueError: an argument does not fit, or u has not one entry per sample.

    Source: Karras et al. 2024 (arXiv 2312.02696), on uncertainty-based weighting;
    Kendall et al. 2018 (arXiv 1705.07115).
    """
    noisy, target, c_noise, of = corrupted(images, sigma, prediction, seeds=seeds, stream=stream)
    output = network(noisy, c_noise, **(condition or {}))
    m = squared_error(output, target)
    given = factor(weight, of.c_out, of.sigma, output, target)
    u = log_variance(c_noise)
    if u.numel() != len(images):
        raise ValueError(f"log_variance returned shape {tuple(u.shape)}, expected ({len(images)},)")
    u = u.reshape(-1).to(m.dtype)
    return (m if given is None else m * given) * (-u).exp() + u


def variance_terms(
    network: Callable[..., Tensor],
    images: Tensor,
    sigma: NDArray[np.float64],
    prediction: Prediction,
    *,
    seeds: Any,
    stream: int = 0,
    condition: Mapping[str, Any] | None = None,
) -> Tensor:
    """Return ((F − target)² e^(−v) + v)/2 averaged over pixels: [B], with a graph.

    c_out² e^v is then the posterior variance of each element of x0.

    Args:
        network: returns twice the channels on axis 1, F and v.
        images, sigma, prediction, seeds, stream, condition: of ``denoising_loss``.

    Raises:
        TypeError, ValueError: an argument does not fit, or the channels are odd in number.

    Source: k-diffusion, DenoiserWithVariance; Nix & Weigend 1994.
    """
    noisy, target, c_noise = corrupt(images, sigma, prediction, seeds=seeds, stream=stream)
    F, v = halves(network(noisy, c_noise, **(condition or {})))
    v = v.to(torch.promote_types(v.dtype, target.dtype))
    return (0.5 * ((F - target).square() * (-v).exp() + v)).flatten(1).mean(1)
