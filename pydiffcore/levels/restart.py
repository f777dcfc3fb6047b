# SPDX-License-Identifier: Apache-2.0
"""Levels that rise: a descent with intervals that are gone through several times."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pydiffcore.levels.continuous import karras
from pydiffcore.levels.core import FloatArray, Levels

__all__ = ["restart"]

Segment = tuple[int, float, float, int]


def restart(base: Levels, segments: Sequence[Segment], rho: float = 7.0) -> Levels:
    """Levels of Restart: after the base level nearest t_min, K times up to t_max and down again.

    Each descent has n steps on Karras levels from t_max to that base level.  Segments at the same
    base level follow one another in the order given.

    Args:
        base: falling levels.
        segments: (K, t_min, t_max, n) of each: repetitions, its ends as σ, and steps of a descent.
            The paper's N counts a descent's levels, so that n = N − 1.
        rho: spacing of the descents; see karras().

    Raises:
        ValueError: for levels that rise, K < 0 or n < 1, or unless
            0 < t_min < t_max and t_max lies above the level that is nearest t_min.

    Source: Xu et al. 2023 (arXiv 2306.14878), Algorithm 1 and appendix B.

    """
    if base.rising:
        raise ValueError(f"base must fall, {base.name} may rise")
    if isinstance(segments, Mapping) or not isinstance(segments, Iterable):
        raise TypeError(f"segments is {segments!r}, expected a list of (K, t_min, t_max, n)")
    above = base.sigma[base.sigma > 0.0]
    pieces: list[list[FloatArray]] = [[base.sigma[i : i + 1]] for i in range(len(base) + 1)]
    for segment in segments:
        repeats, low, high, n = _checked(segment)
        at = int(np.argmin(np.abs(above - low)))
        nearest = float(above[at])
        if not high > nearest:
            raise ValueError(f"t_max is {high!r}, not above {nearest!r}, the level nearest t_min")
        descent = karras(n, nearest, high, rho, final_zero=False).sigma
        pieces[at] += [descent] * repeats
    name = f"restart({base.name}, {[tuple(segment) for segment in segments]!r}, rho={rho!r})"
    sigma = np.concatenate([part for piece in pieces for part in piece])
    return Levels(sigma, base.process, name, len(sigma) > len(base) + 1)


def _checked(segment: Any) -> Segment:
    if not isinstance(segment, Sequence | np.ndarray) or len(segment) != 4:
        raise ValueError(
            f"segments has {segment!r}, expected a list of (K, t_min, t_max, n), as "
            "[(4, 0.05, 0.3, 3)]"
        )
    repeats, low, high, n = segment
    whole = all(isinstance(value, int | np.integer) for value in (repeats, n))
    if not (whole and repeats >= 0 and n >= 1):
        raise ValueError(f"segment {segment!r}: K and n must be whole, K from 0 and n from 1")
    if not (math.isfinite(high) and 0.0 < low < high):
        raise ValueError(f"segment {segment!r}: expected 0 < t_min < t_max, finite")
    return repeats, low, high, n
