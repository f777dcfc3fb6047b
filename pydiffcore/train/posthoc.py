# SPDX-License-Identifier: Apache-2.0
"""An average of any width, made afterwards of averages that were kept during a training.

A power-function average at time T weighs the weights of time t by

    p(t) = (gamma + 1) t^gamma / T^(gamma + 1),       0 < t <= T,

and those of two exponents, kept at some times, span nearly every other: the one that is wanted is
their combination with the least squared difference of profiles.

Source: Karras et al. 2024 (arXiv 2312.02696), section 3 and appendix C.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["combined", "exponent", "weights", "width"]


def width(gamma: float) -> float:
    """Return the relative deviation of t^gamma on [0, 1]: √(γ+1) / ((γ+2) √(γ+3)).

    Raises:
        ValueError: gamma is not above −1.

    """
    if not gamma > -1:
        raise ValueError(f"gamma is {gamma}, expected a number above -1")
    return float(np.sqrt(gamma + 1) / ((gamma + 2) * np.sqrt(gamma + 3)))


@lru_cache(maxsize=64)
def exponent(relative: float) -> float:
    """Return the gamma above 0 whose profile has this relative width.

    It is the largest root of γ³ + 7γ² + (16 − r⁻²)γ + (12 − r⁻²) = 0.

    Raises:
        ValueError: the width is outside (0, 0.28]; that of gamma = 0 is 1/√12 = 0.2887.

    """
    if not 0 < relative <= 0.28:
        raise ValueError(f"width is {relative}, expected a number in (0, 0.28]")
    inverse = relative**-2
    roots = np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse])
    return float(roots[np.abs(roots.imag) < 1e-9].real.max())


def _product(
    gamma: NDArray[np.float64], at: NDArray[np.float64], other: NDArray[np.float64],
    other_at: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """∫ p q dt of two profiles: (γ+1)(δ+1) min(T, S)^(γ+δ+1) / ((γ+δ+1) T^(γ+1) S^(δ+1))."""
    last = np.minimum(at, other_at)
    ratio = (last / at) ** gamma * (last / other_at) ** other  # in [0, 1], whatever the exponents
    return (gamma + 1) * (other + 1) / (gamma + other + 1) * ratio * last / (at * other_at)


def weights(
    kept: Sequence[tuple[float, float]], wanted: tuple[float, float]
) -> NDArray[np.float64]:
    """Return the coefficients of kept averages in the average that is wanted, [len(kept)].

    Args:
        kept: (width, time) of each, the time in steps or images.
        wanted: (width, time); the time is at most the last of those kept.

    Raises:
        ValueError: nothing is kept, a time is not above 0, or the wanted one is later than all.

    """
    if not kept:
        raise ValueError("kept is empty, expected at least one average")
    gamma = np.array([exponent(each) for each, _ in kept])
    at = np.array([time for _, time in kept], np.float64)
    if not (at > 0).all() or not 0 < wanted[1] <= at.max():
        raise ValueError(
            f"times are {at.tolist()} and {wanted[1]}, expected numbers above 0, and to want none "
            "later than the last that was kept"
        )
    gram = _product(gamma[:, None], at[:, None], gamma[None], at[None])
    right = _product(gamma, at, np.array(exponent(wanted[0])), np.array(wanted[1]))
    scale = np.sqrt(np.diag(gram))  # early profiles are tall and thin
    solved = np.linalg.lstsq(gram / np.outer(scale, scale), right / scale, rcond=1e-12)[0]
    return np.asarray(solved / scale, np.float64)


def combined(
    snapshots: Sequence[Mapping[str, Tensor]],
    kept: Sequence[tuple[float, float]],
    wanted: tuple[float, float],
) -> dict[str, Tensor]:
    """Return the tensors of the wanted average, in float32; arguments as for :func:`weights`.

    Raises:
        ValueError: the snapshots differ in their names, or are not as many as ``kept``.

    """
    if len(snapshots) != len(kept):
        raise ValueError(f"there are {len(snapshots)} snapshots, expected {len(kept)} as kept")
    names = set(snapshots[0])
    if any(set(each) != names for each in snapshots):
        raise ValueError("snapshots differ in the names of their tensors")
    made: dict[str, Tensor] = {}
    for name, first in snapshots[0].items():
        if not first.is_floating_point():
            made[name] = snapshots[-1][name].clone()
            continue
        total = torch.zeros_like(first, dtype=torch.float64)
        for factor, each in zip(weights(kept, wanted).tolist(), snapshots, strict=True):
            total += factor * each[name].double()
        made[name] = total.to(torch.promote_types(first.dtype, torch.float32))
    return made
