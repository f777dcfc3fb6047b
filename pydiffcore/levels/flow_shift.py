# SPDX-License-Identifier: Apache-2.0
"""Levels of rectified flow, made in its time t and returned as levels t / (1 - t).

The time t = 1, pure noise, has no finite level; 1e12 stands for it, and trace(...,
scaling=process.flow()) keeps the state between the rows at the flow's own scale.
"""

import math

import numpy as np

from pydiffcore import process as processes
from pydiffcore.levels.core import UNBOUNDED, FloatArray, Levels, assemble, step_count


def flow_mu(
    tokens: float,
    low_tokens: float = 256.0,
    low_mu: float = 0.5,
    high_tokens: float = 4096.0,
    high_mu: float = 1.15,
) -> float:
    """Return the mu that the number of an image's tokens asks for: a straight line through two.

    Args:
        tokens: length of the sequence that the network sees.
        low_tokens, low_mu, high_tokens, high_mu: the two points of the line.

    Raises:
        ValueError: for tokens that are not positive, or two equal numbers of tokens.

    Source: Esser et al. 2024 (arXiv 2403.03206), section 5.3.2; Black Forest Labs 2024 (FLUX.1) for
    the line.

    """
    if not tokens > 0.0 or low_tokens == high_tokens:
        raise ValueError(
            f"tokens must be positive and low_tokens not high_tokens, got {tokens!r}, "
            f"{low_tokens!r} and {high_tokens!r}"
        )
    return low_mu + (tokens - low_tokens) * (high_mu - low_mu) / (high_tokens - low_tokens)


def flow_shift(
    n: int,
    shift: float = 1.0,
    power: float = 1.0,
    terminal: float | None = None,
    t_min: float | None = None,
    t_max: float = 1.0,
    final_zero: bool = True,
) -> Levels:
    """Levels of flow times spaced evenly and then shifted towards noise.

    t'_i = shift / (shift + (1/t_i - 1)^power), which is shift t / (1 + (shift - 1) t) at power 1:
    the level t / (1 - t) is raised to the power and multiplied by the shift.  With a terminal the
    distances 1 - t' are then scaled so that the last t' is the terminal.

    A trap: diffusers' FlowMatchEulerDiscreteScheduler(shift=s), given a number of steps only, ends
    at t_min = s / (999 + s), shifted once, and shifts that time again.

    Args:
        n: number of steps.
        shift: factor of the level, positive; e^mu where a model is given mu (see flow_mu()).
        power: of the level before the shift.
        terminal: the last time above 0, or None to leave it where it falls.
        t_min, t_max: last time before the final 0, and first time, before the shift; 1/n and 1
            (1/(n + 1) without the final 0).
        final_zero: end at 0 (and count that step) or at the last time.

    Raises:
        ValueError: for n < 1, unless 0 < t_min < t_max <= 1, for a shift or power that is not
            positive, or a terminal outside (0, 1).

    Source: Esser et al. 2024 (arXiv 2403.03206), eq. 23; HaCohen et al. 2024 (LTX-Video, arXiv
    2501.00103), the authors' code, for the terminal.

    """
    points = step_count(n) + (not final_zero)
    low, high = 1.0 / points if t_min is None else float(t_min), float(t_max)
    if not (0.0 < low < high <= 1.0 or (points == 1 and 0.0 < high <= 1.0)):
        raise ValueError(f"expected 0 < t_min < t_max <= 1, got {low!r} and {high!r}")
    for name, value in (("shift", shift), ("power", power)):
        if not (math.isfinite(value) and value > 0.0):
            raise ValueError(f"{name} must be positive and finite, got {value!r}")
    t = np.linspace(high, low, points)
    with np.errstate(divide="ignore"):
        sigma = np.minimum(shift * (t / (1.0 - t)) ** power, UNBOUNDED)
    if terminal is not None:
        sigma = _stretched(sigma, terminal)
    given = "" if terminal is None else f", terminal={float(terminal)!r}"
    name = f"flow_shift(n={n}, shift={float(shift)!r}, power={float(power)!r}{given}"
    name = f"{name}, t_min={low!r}, t_max={high!r})"
    return assemble(sigma, final_zero, processes.flow(), name)


def _stretched(sigma: FloatArray, terminal: float) -> FloatArray:
    """Scale the distances to t = 1, which are 1 / (1 + sigma), so that the last is 1 - terminal."""
    if not 0.0 < terminal < 1.0:
        raise ValueError(f"terminal must lie strictly between 0 and 1, got {terminal!r}")
    left = (1.0 - terminal) * (1.0 + sigma[-1]) / (1.0 + sigma)
    return np.where(sigma < UNBOUNDED, (1.0 - left) / left, UNBOUNDED)


def linear_quadratic(n: int, threshold: float = 0.025, linear_steps: int | None = None) -> Levels:
    """Levels of flow times that fall linearly for half of the steps and then quadratically.

    1 - t_i = threshold i / k for i <= k, and threshold i / k + (1 - threshold n / k)
    ((i - k) / (n - k))^2 after that, which joins smoothly and reaches t_n = 0.

    Args:
        n: number of steps.
        threshold: 1 - t at the end of the linear part, in (0, 1).
        linear_steps: k, from 1 to n - 1; n // 2 by default (at n = 1 there is no linear part).

    Raises:
        ValueError: for n < 1, or a threshold or linear_steps out of range.

    Source: Polyak et al. 2024 (Movie Gen, arXiv 2410.13720), section 3.4.2; Genmo 2024 (Mochi 1)
    for the defaults.

    """
    k = step_count(n) // 2 if linear_steps is None else linear_steps
    if not 0.0 < threshold < 1.0:
        raise ValueError(f"threshold must lie strictly between 0 and 1, got {threshold!r}")
    if n > 1 and not 1 <= k < n:
        raise ValueError(f"linear_steps must lie between 1 and n - 1 = {n - 1}, got {linear_steps}")
    i = np.arange(n + 1, dtype=np.float64)
    past = np.maximum(i - k, 0.0) / (n - k)
    slope = threshold / max(k, 1)
    gone = slope * i + (1.0 - slope * n) * past**2
    gone[-1] = 1.0
    name = f"linear_quadratic(n={n}, threshold={float(threshold)!r}, linear_steps={k})"
    return Levels(_of_time(1.0 - gone, gone), processes.flow(), name)


def bong_tangent(
    n: int,
    start: float = 1.0,
    middle: float = 0.5,
    end: float = 0.0,
    pivot: float = 0.6,
    slope: float = 0.2,
    sigma_max: float | None = None,
) -> Levels:
    """Levels of flow times on two arctangents, one from start to middle, one from middle to end.

    With N = n + 2 and p = floor(pivot N), t is a - b arctan(40 slope (i - p) / N), i = 0 ... p - 1,
    and then again with i - p counted from 0 in the second stage; a and b of each stage join its
    ends.  The time in the middle belongs to both.

    Args:
        n: number of steps.
        start, middle, end: times, 1 >= start > middle > end >= 0.
        pivot: share of the first stage, in (0, 1).
        slope: steepness, positive.
        sigma_max: None for times of rectified flow; a number makes the values shares of it, and so
            levels of other models.

    Raises:
        ValueError: for n < 1 or values out of range, or a stage of a single level.

    Source: RES4LYF (ClownsharkBatwing), "bong_tangent".

    """
    if not 1.0 >= start > middle > end >= 0.0:
        raise ValueError(f"expected 1 >= start > middle > end >= 0, got {start}, {middle}, {end}")
    if not (0.0 < pivot < 1.0 and math.isfinite(slope) and slope > 0.0):
        raise ValueError(f"pivot must lie in (0, 1) and slope above 0, got {pivot!r}, {slope!r}")
    count = step_count(n) + 2
    first = int(count * pivot)
    if n == 1:
        t = np.array([start, end])
    elif not 2 <= first <= count - 2:
        raise ValueError(f"pivot must leave each stage two levels of {count}, got {pivot!r}")
    else:
        steepness = 40.0 * slope / count
        one = _arctangent(first, steepness, first, start, middle)
        two = _arctangent(count - first, steepness, 0, middle, end)
        t = np.append(one[:-1], two)
    name = f"bong_tangent(n={n}, {start=!r}, {middle=!r}, {end=!r}, {pivot=!r}, {slope=!r}"
    if sigma_max is None:
        return Levels(_of_time(t, 1.0 - t), processes.flow(), f"{name})")
    if not (math.isfinite(sigma_max) and sigma_max > 0.0):
        raise ValueError(f"sigma_max must be positive and finite, got {sigma_max!r}")
    return Levels(sigma_max * t, processes.edm(), f"{name}, {sigma_max=!r})")


def _arctangent(size: int, slope: float, pivot: int, first: float, last: float) -> FloatArray:
    curve = -np.arctan(slope * (np.arange(size, dtype=np.float64) - pivot))
    t = last + (first - last) * (curve - curve[-1]) / (curve[0] - curve[-1])
    t[0], t[-1] = first, last
    return t


def _of_time(t: FloatArray, rest: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.minimum(t / rest, UNBOUNDED)
