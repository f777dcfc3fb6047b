# SPDX-License-Identifier: Apache-2.0
"""Losses whose target is another denoiser's: consistency models, progressive distillation.

Both bring D(x; sigma) near a given y instead of x0, lambda |D − y|² = lambda c_out² |F − f|² with
f = (y − c_skip x)/c_out, where y has no gradient:

    consistency     y = D'(x_next; sigma_next),    x_next = x0 + sigma_next z with the same z
                                                   (training), or a Heun step of a teacher from x
    progressive     y for which one Euler step from sigma to sigma_last goes where two of the
                    teacher's go: y = (x_last − r x)/(1 − r), r = sigma_last/sigma

Sources: Song et al. 2023 (arXiv 2303.01469), algorithms 2 and 3; Salimans & Ho 2022
(arXiv 2202.00512), algorithm 2.
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
from pydiffcore.train.loss import Weight, factor, pseudo_huber
from pydiffcore.train.squared import squared_error

__all__ = ["consistency_terms", "progressive_terms"]

FloatArray = NDArray[np.float64]
Teacher = Callable[[Tensor, Tensor], Tensor]


def consistency_terms(
    network: Callable[..., Tensor],
    slow: Callable[..., Tensor],
    images: Tensor,
    sigma: FloatArray,
    sigma_next: FloatArray,
    prediction: Prediction,
    *,
    seeds: Any,
    stream: int = 0,
    teacher: Teacher | None = None,
    weight: Weight | None = None,
    huber: float | None = None,
    condition: Mapping[str, Any] | None = None,
) -> Tensor:
    """Return lambda |D(x; sigma) − D'(x_next; sigma_next)|² of each sample, [B], with a graph.

    Args:
        network, images, sigma, prediction, seeds, stream, weight, huber, condition: of
            ``denoising_terms``; the paper has ``prediction.consistency()``, which makes D the
            identity at the lowest level.
        slow: the network of D', an average of the first or that itself.
        sigma_next: levels [B], each below that of sigma.
        teacher: D(x, sigma [B]) whose Heun step leads to x_next (distillation); None for training.

    Raises:
        TypeError, ValueError: an argument does not fit.
    """
    _check_falling(sigma=sigma, sigma_next=sigma_next)
    noisy, _, c_noise = corrupt(images, sigma, prediction, seeds=seeds, stream=stream)
    given = dict(condition or {})
    with torch.no_grad():
        lower, _, label = corrupt(images, sigma_next, prediction, seeds=seeds, stream=stream)
        skip, out, scale = _columns(prediction, sigma_next, lower)
        if teacher is not None:
            x = noisy / _columns(prediction, sigma, noisy)[2]
            lower = scale * _heun(teacher, x, sigma, sigma_next)
        goal = skip * lower / scale + out * slow(lower, label, **given)
    output = network(noisy, c_noise, **given)
    return _near(goal, output, noisy, sigma, prediction, weight, huber)


def progressive_terms(
    network: Callable[..., Tensor],
    teacher: Teacher,
    images: Tensor,
    sigma: FloatArray,
    sigma_middle: FloatArray,
    sigma_last: FloatArray,
    prediction: Prediction,
    *,
    seeds: Any,
    stream: int = 0,
    weight: Weight | None = None,
    condition: Mapping[str, Any] | None = None,
) -> Tensor:
    """Return lambda |D(x; sigma) − y|² of each sample, [B], y of the teacher's two Euler steps.

    Args:
        network, images, sigma, prediction, seeds, stream, weight, condition: of
            ``denoising_terms``; the paper has ``weights.truncated_snr()``.
        teacher: D(x, sigma [B]).
        sigma_middle, sigma_last: levels [B], falling from sigma; the last may be 0.

    Raises:
        TypeError, ValueError: an argument does not fit.
    """
    _check_falling(sigma=sigma, sigma_middle=sigma_middle, sigma_last=sigma_last)
    noisy, _, c_noise = corrupt(images, sigma, prediction, seeds=seeds, stream=stream)
    with torch.no_grad():
        x = start = noisy / _columns(prediction, sigma, noisy)[2]
        for level, following in ((sigma, sigma_middle), (sigma_middle, sigma_last)):
            D = teacher(x, _tensor(level, x))
            x = D + _wide(np.divide(following, level), x) * (x - D)
        r = _wide(np.divide(sigma_last, sigma), x)
        goal = (x - r * start) / (1 - r)
    output = network(noisy, c_noise, **(condition or {}))
    return _near(goal, output, noisy, sigma, prediction, weight, None)


def _near(
    goal: Tensor,
    output: Tensor,
    noisy: Tensor,
    sigma: FloatArray,
    prediction: Prediction,
    weight: Weight | None,
    huber: float | None,
) -> Tensor:
    skip, out, scale = _columns(prediction, sigma, noisy)
    target = (goal - skip * noisy / scale) / out
    m = squared_error(output, target)
    if huber is not None:
        m = pseudo_huber(m, huber)
    given = factor(weight, prediction.coefficients(sigma)[1], sigma, output, target)
    return m if given is None else m * given


def _heun(teacher: Teacher, x: Tensor, sigma: FloatArray, following: FloatArray) -> Tensor:
    level, after, h = (_wide(a, x) for a in (sigma, following, np.subtract(following, sigma)))
    slope = (x - teacher(x, _tensor(sigma, x))) / level
    ahead = x + h * slope
    return x + 0.5 * h * (slope + (ahead - teacher(ahead, _tensor(following, x))) / after)


def _columns(prediction: Prediction, sigma: FloatArray, like: Tensor) -> tuple[Tensor, ...]:
    return tuple(_wide(c, like) for c in prediction.coefficients(sigma)[:3])


def _tensor(values: Any, like: Tensor) -> Tensor:
    return torch.from_numpy(np.array(values, np.float64)).to(like)


def _wide(values: Any, like: Tensor) -> Tensor:
    return _tensor(values, like).view(-1, *(1,) * (like.ndim - 1))


def _check_falling(**levels: Any) -> None:
    names, given = list(levels), [np.asarray(level, np.float64) for level in levels.values()]
    for k in range(1, len(given)):
        if given[k].shape != given[0].shape or not np.all(given[k] < given[k - 1]):
            raise ValueError(f"{names[k]} must have, for each sample, a level below {names[k - 1]}")
