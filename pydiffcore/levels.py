# SPDX-License-Identifier: Apache-2.0
"""Levels: which noise levels a sampler visits.

n steps visit n + 1 levels sigma_0 > sigma_1 > ... > sigma_n >= 0, noise standard deviations in the
EDM frame x = x0 + sigma z; the last one is 0 unless final_zero=False, where it is the lowest level
of the rule itself.  The network is called at sigma_0 ... sigma_{n-1}.  A process goes along, so
that each level has a time and a signal scale.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pydiffcore import process as processes
from pydiffcore.process import Process

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Levels:
    """A strictly descending list of noise levels with the process it belongs to.

    Fields:
        sigma: float64 [n + 1], read-only; finite, positive but for the last one, which may be 0.
        process: gives each level its time and signal scale.
        name: how the list was made, with all parameters.

    Raises:
        ValueError: for a wrong shape, fewer than two levels, or values that are not finite,
            negative, or not strictly descending.
    """

    sigma: FloatArray
    process: Process
    name: str

    def __post_init__(self) -> None:
        """Check the list and make it read-only."""
        sigma = np.array(self.sigma, dtype=np.float64)
        _check(sigma)
        sigma.setflags(write=False)
        object.__setattr__(self, "sigma", sigma)

    def __len__(self) -> int:
        return self.sigma.size - 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Levels):
            return NotImplemented
        return self.process == other.process and np.array_equal(self.sigma, other.sigma)

    def __hash__(self) -> int:
        return hash((self.process, self.sigma.tobytes()))

    def steps(self) -> Iterator[tuple[float, float]]:
        """Yield (sigma_i, sigma_{i+1}) of each step as Python floats."""
        values = self.sigma.tolist()
        yield from pairwise(values)

    @property
    def t(self) -> FloatArray:
        """Times of the levels, float64 [n + 1]; -inf where the process never reaches 0."""
        return np.asarray(self.process.time(self.sigma))

    @property
    def alpha(self) -> FloatArray:
        """Signal scales of the levels, float64 [n + 1]."""
        return np.asarray(self.process.alpha_at(self.sigma))


def _check(sigma: FloatArray) -> None:
    if sigma.ndim != 1 or sigma.size < 2:
        raise ValueError(
            f"sigma must have shape [n + 1] with at least one step, got shape {sigma.shape}"
        )
    for wrong, expected in (
        (~np.isfinite(sigma), "finite"),
        (sigma < 0.0, "not negative"),
        (np.append(False, np.diff(sigma) >= 0.0), "strictly descending"),
    ):
        if wrong.any():
            at = int(np.argmax(wrong))
            before = f" after {float(sigma[at - 1])!r}" if at else ""
            raise ValueError(
                f"sigma must be {expected}; sigma[{at}] is {float(sigma[at])!r}{before}"
            )


def _steps(n: int) -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n must be a positive whole number of steps, got {n!r}")
    return int(n)


def _bounds(low_name: str, low: float, high_name: str, high: float) -> tuple[float, float]:
    for name, value in ((low_name, low), (high_name, high)):
        if not (math.isfinite(value) and value > 0.0):
            raise ValueError(f"{name} must be positive and finite, got {value!r}")
    if low >= high:
        raise ValueError(f"{low_name} must be below {high_name}, got {low!r} and {high!r}")
    return float(low), float(high)


def _ramp(n: int, final_zero: bool) -> FloatArray:
    """Return 0 ... 1 over the levels that the rule itself gives: n, or n + 1 without a final 0."""
    return np.linspace(0.0, 1.0, _steps(n) if final_zero else _steps(n) + 1)


def _levels(sigma: FloatArray, final_zero: bool, process: Process, name: str) -> Levels:
    full = np.append(sigma, 0.0) if final_zero else sigma
    return Levels(full, process, name if final_zero else f"{name[:-1]}, final_zero=False)")


def explicit(sigmas: ArrayLike, process: Process | None = None) -> Levels:
    """Levels as given, float64 [n + 1], strictly descending; nothing is appended.

    Raises:
        ValueError: see Levels.
    """
    sigma = np.array(sigmas, dtype=np.float64)
    return Levels(sigma, process or processes.edm(), f"explicit(n={sigma.size - 1})")


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
    low, high = _bounds("sigma_min", sigma_min, "sigma_max", sigma_max)
    if not (math.isfinite(rho) and rho > 0.0):
        raise ValueError(f"rho must be positive and finite, got {rho!r}")
    ramp = _ramp(n, final_zero)
    first, last = high ** (1.0 / rho), low ** (1.0 / rho)
    sigma = (first + ramp * (last - first)) ** rho
    # The ends are given numbers: they must not carry the rounding of the power.
    sigma[-1], sigma[0] = low, high
    name = f"karras(n={n}, sigma_min={low!r}, sigma_max={high!r}, rho={float(rho)!r})"
    return _levels(sigma, final_zero, process or processes.edm(), name)


def _geometric(n: int, low: float, high: float, final_zero: bool) -> FloatArray:
    sigma = high * np.exp(_ramp(n, final_zero) * math.log(low / high))
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

    Source: Song & Ermon 2019 (arXiv 1907.05600), section 4.2; uniform in lam of Lu et al. 2022
    (arXiv 2206.00927).
    """
    low, high = _bounds("sigma_min", sigma_min, "sigma_max", sigma_max)
    name = f"exponential(n={n}, sigma_min={low!r}, sigma_max={high!r})"
    sigma = _geometric(n, low, high, final_zero)
    return _levels(sigma, final_zero, process or processes.edm(), name)


def ve(
    n: int, sigma_min: float = 0.02, sigma_max: float = 100.0, final_zero: bool = True
) -> Levels:
    """Levels of the VE column of EDM's table 1.

    sigma_i^2 = sigma_max^2 (sigma_min^2 / sigma_max^2)^(i / (n-1)): the levels themselves are
    exponential() with the range and the process of VE.

    Raises:
        ValueError: for n < 1 or unless 0 < sigma_min < sigma_max.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1.
    """
    low, high = _bounds("sigma_min", sigma_min, "sigma_max", sigma_max)
    name = f"ve(n={n}, sigma_min={low!r}, sigma_max={high!r})"
    return _levels(_geometric(n, low, high, final_zero), final_zero, processes.ve(low, high), name)


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

    Source: Song et al. 2021 (arXiv 2011.13456), appendix G; Karras et al. 2022, table 1 (VP).
    """
    low = process.t_min if t_min is None else float(t_min)
    high = process.t_max if t_max is None else float(t_max)
    if not low < high:
        raise ValueError(f"t_min must be below t_max, got {low!r} and {high!r}")
    t = high + _ramp(n, final_zero) * (low - high)
    if t.size > 1:
        t[-1] = low
    name = f"uniform_t(n={n}, process={process.name}, t_min={low!r}, t_max={high!r})"
    return _levels(np.asarray(process.level(t)), final_zero, process, name)


def iddpm(
    n: int,
    sigma_min: float = 0.002,
    sigma_max: float = 81.0,
    process: Process | None = None,
    final_zero: bool = True,
) -> Levels:
    """Levels of the iDDPM column of EDM's table 1: evenly indexed entries of its table u_j.

    sigma_i = v_k, k = floor(i (m-1) / (n-1) + 1/2), where v_0 > ... > v_{m-1} are the entries of
    u_j within [sigma_min, sigma_max].  The default range of the default table starts at j0 = 8.

    Args:
        n: number of steps, at most the number of entries in the range.
        sigma_min, sigma_max: range of the entries used.
        process: a tabulated process whose levels are u_j; iddpm() by default.
        final_zero: end at 0 (and count that step) or at the last entry.

    Raises:
        ValueError: for n out of range, an empty range, or a process without a table.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1.
    """
    low, high = _bounds("sigma_min", sigma_min, "sigma_max", sigma_max)
    process = process or processes.iddpm()
    table = _table(process)[::-1]
    table = table[(table >= low) & (table <= high)]
    ramp = _ramp(n, final_zero)
    if ramp.size > table.size:
        raise ValueError(
            f"n = {n} asks for {ramp.size} levels, but {process.name} has {table.size} entries "
            f"between sigma_min = {low!r} and sigma_max = {high!r}"
        )
    sigma = table[np.floor(ramp * (table.size - 1) + 0.5).astype(np.int64)]
    name = f"iddpm(n={n}, sigma_min={low!r}, sigma_max={high!r}, process={process.name})"
    return _levels(sigma, final_zero, process, name)


def _table(process: Process) -> FloatArray:
    if process.size is None:
        raise ValueError(f"process must be tabulated (discrete or iddpm), got {process.name}")
    return np.asarray(process.level(np.arange(process.size)))
