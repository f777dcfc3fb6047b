# SPDX-License-Identifier: Apache-2.0
"""DREAM: a step of training at the noise that the network itself would make.

A first call without gradient gives D at x = x0 + sigma z.  Sampling then goes on from a mixture of
the true noise and the estimated one, and so does the training:

    x' = x + rho (D − x0),   rho = (sigma/sqrt(1 + sigma²))^p

with x0 still what is to be found.  In F this is input' = input + rho c_in c_out e and
target' = target − rho c_skip e with e = F − target, for every prediction.
Source: Zhou et al. 2024 (arXiv 2312.00210), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.ops.corruption import corrupt
from pydiffcore.prediction import Prediction
from pydiffcore.train.laws.core import number
from pydiffcore.train.loss import Weight, factor
from pydiffcore.train.squared import squared_error

__all__ = ["dream_terms"]


def dream_terms(
    network: Callable[..., Tensor],
    images: Tensor,
    sigma: NDArray[np.float64],
    prediction: Prediction,
    *,
    seeds: Any,
    stream: int = 0,
    weight: Weight | None = None,
    power: float = 1.0,
    condition: Mapping[str, Any] | None = None,
) -> Tensor:
    """Return the loss of each sample at the rectified input, [B], with a graph.

    Args:
        network, images, sigma, prediction, seeds, stream, weight, condition: of
            ``denoising_loss``.
        power: p, how fast the share of the network's own noise falls with the level; the paper's
            detail preservation.

    Raises:
        TypeError, ValueError: an argument does not fit; see ``corrupt``.
    """
    p = number("power", power)
    noisy, target, c_noise = corrupt(images, sigma, prediction, seeds=seeds, stream=stream)
    given = dict(condition or {})
    with torch.no_grad():
        error = network(noisy, c_noise, **given) - target
    level = np.asarray(sigma, np.float64)
    c_skip, c_out, c_in, _ = prediction.coefficients(level)
    rho = (level / np.hypot(1, level)) ** p
    shape = (-1, *(1,) * (noisy.ndim - 1))
    to_input, to_target = (
        torch.from_numpy(np.asarray(c)).to(error).view(shape)
        for c in (rho * c_in * c_out, -rho * c_skip)
    )
    target = target + to_target * error
    output = network((noisy + to_input * error).to(noisy.dtype), c_noise, **given)
    return squared_error(output, target, factor(weight, c_out, level, output, target))
