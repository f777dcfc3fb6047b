# SPDX-License-Identifier: Apache-2.0
"""Levels by closed formulas: karras, exponential, VE, uniform in time, or given explicitly."""

import math

import numpy as np
from numpy.typing import ArrayLike

from pydiffcore import process as processes
from pydiffcore.levels.core import FloatArray, Levels, assemble, bounds, ramp
from pydiffcore.process import Process


def explicit(sigmas: ArrayLike, process: Process | None = None, rising: bool = False) -> Levels:
    """Levels as given, float64 [n + 1], strictly descending; nothing is appended.

    Args:
        sigmas: the levels, the last of which may be 0.
        process: the process they belong to; edm() by default.
        rising: whether the list may also rise, for samplers that add noise there (restart).

    Raises:
        ValueError: see Levels.

    """
    sigma = np.array(sigmas, dtype=np.float64)
    return Levels(sigma, process or processes.edm(), f"explicit(n={sigma.size - 1})", rising)


def karras(
    n: int,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
    process: Process | None = None,
    final_zero: bool = True,
) -> Levels:
    """Levels spaced evenly in sigma^(1/rho).

    sigma_i = (sigma_max^(1/rho) + i / (n-1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho.

    Args:
        n: number of steps.
        sigma_min, sigma_max: lowest level above 0 and highest level.
        rho: 1 is uniform; towards infinity the spacing becomes exponential().
        process: the process the levels belong to; edm() by default.
        final_zero: end at 0 (and count that step) or at sigma_min.

    Raises:
        ValueError: for n < 1, rho <= 0 or unless 0 < sigma_min < sigma_max.

    Source: Karras et al. 2022 (arXiv 2206.00364), eq. 5.

    """
    low, high = bounds("sigma_min", sigma_min, "sigma_max", sigma_max)
    if not (math.isfinite(rho) and rho > 0.0):
        raise ValueError(f"rho must be positive and finite, got {rho!r}")
    r = ramp(n, final_zero)
    first, last = high ** (1.0 / rho), low ** (1.0 / rho)
    sigma = (first + r * (last - first)) ** rho
    # The ends are given numbers: they must not carry the rounding of the power.
    sigma[-1], sigma[0] = low, high
    name = f"karras(n={n}, sigma_min={low!r}, sigma_max={high!r}, rho={float(rho)!r})"
    return assemble(sigma, final_zero, process or processes.edm(), name)


def _geometric(n: int, low: float, high: float, final_zero: bool) -> FloatArray:
    sigma = high * np.exp(ramp(n, final_zero) * math.log(low / high))
    sigma[-1], sigma[0] = low, high
    return sigma


def exponential(
    n: int,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    process: Process | None = None,
    final_zero: bool = True,
) -> Levels:
    """Levels spaced evenly in log sigma: sigma_i = sigma_max (sigma_min / sigma_max)^(i / (n-1)).

    Args and errors are those of karras() without rho.

    Source: Song & Ermon 2019 (arXiv 1907.05600), section 4.1; uniform in lam in Lu et al. 2022
    (arXiv 2206.00927).
    """
    low, high = bounds("sigma_min", sigma_min, "sigma_max", sigma_max)
    name = f"exponential(n={n}, sigma_min={low!r}, sigma_max={high!r})"
    sigma = _geometric(n, low, high, final_zero)
    return assemble(sigma, final_zero, process or processes.edm(), name)


def ve(
    n: int, sigma_min: float = 0.02, sigma_max: float = 100.0, final_zero: bool = True
) -> Levels:
    """Levels of the VE column of EDM's table 1, with its process ve_sqrt().

    sigma_i^2 = sigma_max^2 (sigma_min^2 / sigma_max^2)^(i / (n-1)): exponential() in another range.

    Args:
        n: number of steps.
        sigma_min, sigma_max: lowest level above 0 and highest level.
        final_zero: end at 0 (and count that step) or at sigma_min.

    Raises:
        ValueError: for n < 1 or unless 0 < sigma_min < sigma_max.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1.

    """
    low, high = bounds("sigma_min", sigma_min, "sigma_max", sigma_max)
    name = f"ve(n={n}, sigma_min={low!r}, sigma_max={high!r})"
    sigma = _geometric(n, low, high, final_zero)
    return assemble(sigma, final_zero, processes.ve_sqrt(low, high), name)


def uniform_t(
    n: int,
    process: Process,
    t_min: float | None = None,
    t_max: float | None = None,
    final_zero: bool = True,
) -> Levels:
    """Levels of times spaced evenly: sigma_i = level(t_max + i / (n-1) (t_min - t_max)).

    Args:
        n: number of steps.
        process: gives the level of a time.
        t_min, t_max: last time before the final 0, and first time; the process's own by default.
        final_zero: end at level 0 (and count that step) or at t_min.

    Raises:
        ValueError: for n < 1, unless t_min < t_max, or where a time has no finite level.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1, column VP.

    """
    low = process.t_min if t_min is None else float(t_min)
    high = process.t_max if t_max is None else float(t_max)
    if not low < high:
        raise ValueError(f"t_min must be below t_max, got {low!r} and {high!r}")
    t = high + ramp(n, final_zero) * (low - high)
    if t.size > 1:
        t[-1] = low
    name = f"uniform_t(n={n}, process={process.name}, t_min={low!r}, t_max={high!r})"
    return assemble(np.asarray(process.level(t)), final_zero, process, name)
