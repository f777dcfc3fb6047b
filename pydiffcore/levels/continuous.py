# SPDX-License-Identifier: Apache-2.0
"""Levels by closed formulas of sigma, of its logarithm or of time, or given explicitly."""

import math

import numpy as np
from numpy.typing import ArrayLike

from pydiffcore import process as processes
from pydiffcore.levels.core import UNBOUNDED, FloatArray, Levels, assemble, ramp
from pydiffcore.levels.number import array, ends, positive
from pydiffcore.process import Process
from pydiffcore.process.core import checked


def explicit(sigmas: ArrayLike, process: Process | None = None, rising: bool = False) -> Levels:
    """Levels as given, float64 [n + 1], strictly descending; nothing is appended.

    Args:
        sigmas: the levels, the last of which may be 0.
        process: the process they belong to; edm() by default.
        rising: whether the list may also rise, for samplers that add noise there (restart).

    Raises:
        ValueError: see Levels.

    """
    sigma = array("sigmas", sigmas)
    return Levels(sigma, process or processes.edm(), f"explicit(n={sigma.size - 1})", rising)


def explicit_t(t: ArrayLike, process: Process, final_zero: bool = True) -> Levels:
    """Levels of the times given, float64 [n], falling.

    Args:
        t: times; for a tabulated process indices, between which the level is log-linear.  An
            infinite level becomes 1e12.
        process: gives the level of a time.
        final_zero: append 0 (and count that step) or end at the last time.

    Raises:
        ValueError: see Levels.

    """
    times = array("t", t)
    sigma = np.minimum(np.asarray(process.level(times)), UNBOUNDED)
    steps = times.size - (not final_zero)
    name = f"explicit_t(n={steps}, process={process.name})"
    return assemble(sigma, final_zero, process, name)


def karras(
    n: int,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
    process: Process | None = None,
    final_zero: bool = True,
) -> Levels:
    """Levels spaced evenly in sigma^(1/rho).

    sigma_i = (sigma_max^(1/rho) + r (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho.

    Args:
        n: number of steps; r = i/(n − 1) runs over their levels, or i/n with final_zero=False.
        sigma_min, sigma_max: lowest level above 0 and highest level.
        rho: 1 is uniform; towards infinity the spacing becomes exponential().
        process: the process the levels belong to; edm() by default.
        final_zero: end at 0 (and count that step) or at sigma_min.

    Raises:
        ValueError: for n < 1, rho <= 0 or unless 0 < sigma_min < sigma_max.

    Source: Karras et al. 2022 (arXiv 2206.00364), eq. 5.

    """
    low, high = ends(sigma_min, sigma_max)
    rho = positive("rho", rho)
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
    """Levels spaced evenly in log sigma: sigma_i = sigma_max (sigma_min / sigma_max)^r.

    Args and errors are those of karras() without rho.

    Source: Song & Ermon 2019 (arXiv 1907.05600), section 4.1; uniform in lam in Lu et al. 2022
    (arXiv 2206.00927).
    """
    low, high = ends(sigma_min, sigma_max)
    name = f"exponential(n={n}, sigma_min={low!r}, sigma_max={high!r})"
    sigma = _geometric(n, low, high, final_zero)
    return assemble(sigma, final_zero, process or processes.edm(), name)


def polyexponential(
    n: int,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 1.0,
    process: Process | None = None,
    final_zero: bool = True,
) -> Levels:
    """Levels on a power of the ramp in log sigma.

    sigma_i = sigma_min (sigma_max / sigma_min)^((1 - r)^rho).

    Args:
        n: number of steps; r = i/(n − 1) runs over their levels, or i/n with final_zero=False.
        sigma_min, sigma_max: lowest level above 0 and highest level.
        rho: 1 is exponential(); above 1 more levels lie near sigma_min.
        process: the process the levels belong to; edm() by default.
        final_zero: end at 0 (and count that step) or at sigma_min.

    Raises:
        ValueError: for n < 1, rho <= 0 or unless 0 < sigma_min < sigma_max.

    Source: k-diffusion, get_sigmas_polyexponential.

    """
    low, high = ends(sigma_min, sigma_max)
    rho = positive("rho", rho)
    sigma = low * np.exp((1.0 - ramp(n, final_zero)) ** rho * math.log(high / low))
    sigma[-1], sigma[0] = low, high
    name = f"polyexponential(n={n}, sigma_min={low!r}, sigma_max={high!r}, rho={float(rho)!r})"
    return assemble(sigma, final_zero, process or processes.edm(), name)


def uniform_lambda(
    n: int,
    process: Process,
    t_min: float | None = None,
    t_max: float | None = None,
    final_zero: bool = True,
) -> Levels:
    """Levels spaced evenly in lam = -log sigma between two times: exponential() in their range.

    On the table of a discrete process these are the levels of diffusers' use_lu_lambdas.

    Args:
        n: number of steps.
        process: gives the level of a time.
        t_min, t_max: last time before the final 0, and first time; the process's own by default.
        final_zero: end at level 0 (and count that step) or at t_min.

    Raises:
        ValueError: for n < 1 or unless t_min < t_max.

    Source: Lu et al. 2022 (arXiv 2206.00927), section 3.4.

    """
    low, high = _time_range(process, t_min, t_max)
    ends = np.minimum(np.asarray(process.level([low, high])), UNBOUNDED)
    name = f"uniform_lambda(n={n}, process={process.name}, t_min={low!r}, t_max={high!r})"
    sigma = _geometric(n, float(ends[0]), float(ends[1]), final_zero)
    return assemble(sigma, final_zero, process, name)


def ve(
    n: int, sigma_min: float = 0.02, sigma_max: float = 100.0, final_zero: bool = True
) -> Levels:
    """Levels of the VE column of EDM's table 1, with its process ve_sqrt().

    sigma_i^2 = sigma_max^2 (sigma_min^2 / sigma_max^2)^r: exponential() in another range.

    Args:
        n: number of steps; r = i/(n − 1) runs over their levels, or i/n with final_zero=False.
        sigma_min, sigma_max: lowest level above 0 and highest level.
        final_zero: end at 0 (and count that step) or at sigma_min.

    Raises:
        ValueError: for n < 1 or unless 0 < sigma_min < sigma_max.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1.

    """
    low, high = ends(sigma_min, sigma_max)
    name = f"ve(n={n}, sigma_min={low!r}, sigma_max={high!r})"
    sigma = _geometric(n, low, high, final_zero)
    return assemble(sigma, final_zero, processes.ve_sqrt(low, high), name)


def _time_range(process: Process, t_min: float | None, t_max: float | None) -> tuple[float, float]:
    low = checked(process).t_min if t_min is None else float(t_min)
    high = process.t_max if t_max is None else float(t_max)
    if not low < high:
        raise ValueError(f"t_min must be below t_max, got {low!r} and {high!r}")
    return low, high


def uniform_t(
    n: int,
    process: Process,
    t_min: float | None = None,
    t_max: float | None = None,
    power: float = 1.0,
    final_zero: bool = True,
) -> Levels:
    """Levels of times spaced evenly, or evenly in t^(1/power).

    sigma_i = level(t_i), t_i = (t_max^(1/p) + r (t_min^(1/p) - t_max^(1/p)))^p.

    Args:
        n: number of steps; r = i/(n − 1) runs over their levels, or i/n with final_zero=False.
        process: gives the level of a time.
        t_min, t_max: last time before the final 0, and first time; the process's own by default.
        power: p; 2 is the quadratic spacing of DPM-Solver and DEIS.
        final_zero: end at level 0 (and count that step) or at t_min.

    Raises:
        ValueError: for n < 1, unless t_min < t_max, for a power that is not positive or, other than
            1, meets a negative time, or where a time has no finite level.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1, column VP; Zhang & Chen 2022 (arXiv
    2204.13902), appendix H.3, for the power.

    """
    low, high = _time_range(process, t_min, t_max)
    if not (math.isfinite(power) and power > 0.0):
        raise ValueError(f"power must be positive and finite, got {power!r}")
    if power != 1.0 and low < 0.0:
        raise ValueError(f"t_min must not be negative with power {power!r}, got {low!r}")
    first, last = (high, low) if power == 1.0 else (high ** (1 / power), low ** (1 / power))
    t = first + ramp(n, final_zero) * (last - first)
    if power != 1.0:
        t = t**power
        t[0] = high
    if t.size > 1:
        t[-1] = low
    given = "" if power == 1.0 else f", power={float(power)!r}"
    name = f"uniform_t(n={n}, process={process.name}, t_min={low!r}, t_max={high!r}{given})"
    return assemble(np.asarray(process.level(t)), final_zero, process, name)
