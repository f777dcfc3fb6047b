# SPDX-License-Identifier: Apache-2.0
"""Laws of a process's time, or of the entries of a table, as laws of the level."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pydiffcore import process as processes
from pydiffcore.process import Process
from pydiffcore.process.betas import count
from pydiffcore.train.laws.core import FloatArray, Law, invert, law, number, ordered
from pydiffcore.train.laws.level import normal_law, uniform_law

__all__ = [
    "discrete_uniform",
    "geometric",
    "likelihood",
    "logit_normal",
    "mode",
    "uniform_flow",
    "uniform_t",
]

LARGEST = 1e12  # what lists of levels have for an infinite one


def uniform_t(process: Process, t_min: float | None = None, t_max: float | None = None) -> Law:
    """Uniform t ~ U(t_min, t_max): sigma = level(t), density sigma/(level'(t) (t_max − t_min)).

    Args:
        process: whose time it is.
        t_min, t_max: the range; the level at t_max may be infinite.  None are 1e-5 and 1 where
            the process's time ends at 1, and where it does not, as an index's, its own range.

    Raises:
        ValueError: unless t_min < t_max and the levels rise from at least 0.

    Source: Song et al. 2021 (arXiv 2011.13456), eq. 7 and appendix C (t_min = 1e-5).
    """
    first, last = _times(process, t_min, t_max)
    width = last - first
    with np.errstate(invalid="ignore", divide="ignore"):
        levels = process.level(first + width * np.linspace(0, 1, 9))
    if not (levels[0] >= 0 and np.all(levels[1:] > levels[:-1])):
        raise ValueError(
            f"t_min and t_max are {first} and {last}, where {process.name} has no rising levels"
        )
    low, high = levels[0], levels[-1]

    def density(sigma: FloatArray) -> Any:
        inside = (sigma >= low) & (sigma <= high) & (sigma > 0) & np.isfinite(sigma)
        return np.where(inside, sigma / (process.d_level(process.time(sigma)) * width), 0)

    return law(
        f"uniform_t({process.name}, t_min={first!r}, t_max={last!r})",
        lambda u: process.level(np.minimum(first + u * width, last)),
        lambda sigma: np.clip((process.time(sigma) - first) / width, 0, 1),
        density,
    )


def likelihood(process: Process, t_min: float | None = None, t_max: float | None = None) -> Law:
    """p(t) ∝ g(t)²/sigma_t², which makes the likelihood-weighted loss one of constant weight.

    As g²/sigma_t² = 2 d ln(level)/dt for every process, this is ln sigma ~ U between the levels of
    t_min and t_max.  Under it the weighting of the likelihood is that of the noise,
    weights.unit_eps().

    Args:
        process: whose time it is.
        t_min, t_max: the range, by default that of :func:`uniform_t`.

    Raises:
        ValueError: unless t_min < t_max and the levels of both are positive and finite.

    Source: Song et al. 2021 (arXiv 2101.09258), on variance reduction by importance sampling.
    """
    first, last = _times(process, t_min, t_max)
    name = f"likelihood({process.name}, t_min={first!r}, t_max={last!r})"
    ends = (float(process.level(t)) for t in (first, last))
    low, high = ordered("the level at t_min", next(ends), "that at t_max", next(ends))
    return uniform_law(name, low, high)


def uniform_flow() -> Law:
    """Flow time t ~ U(0, 1): sigma = t/(1 − t), density sigma/(1 + sigma)².

    Source: Liu et al. 2023 (arXiv 2209.03003), eq. 1.
    """
    return uniform_t(processes.flow(), 0.0, 1.0)


def logit_normal(mean: float = 0.0, std: float = 1.0) -> Law:
    """Flow time with ln(t/(1 − t)) ~ N(mean, std²).  As sigma = t/(1 − t), sigma is lognormal.

    Raises:
        ValueError: std is not positive.

    Source: Esser et al. 2024 (arXiv 2403.03206), eq. 19.
    """
    mean, std = number("mean", mean), number("std", std, above=0.0)
    return normal_law(f"logit_normal(mean={mean!r}, std={std!r})", mean, std)


def mode(scale: float = 1.29) -> Law:
    """Flow time with more or fewer draws at its middle: t = u − s (sin²(pi u/2) − u).

    The paper's formula at 1 − u, so that the level rises with u.  s = 0 is uniform; for s > 0 the
    middle has more.

    Args:
        scale: s, from -1 to 2/(pi − 2), where t still rises with u.

    Raises:
        ValueError: scale is out of that range.

    Source: Esser et al. 2024 (arXiv 2403.03206), eq. 20.
    """
    s = number("scale", scale)
    if not -1 <= s <= 2 / (math.pi - 2):
        raise ValueError(f"scale is {s!r}, expected a number from -1 to {2 / (math.pi - 2):.6f}")

    def time(u: FloatArray) -> Any:
        return (1 + s) * u - s * np.sin(0.5 * math.pi * u) ** 2

    def cdf(sigma: FloatArray) -> FloatArray:
        return invert(time, 1 / (1 + 1 / sigma))

    def density(sigma: FloatArray) -> Any:
        slope = 1 + s - 0.5 * s * math.pi * np.sin(math.pi * cdf(sigma))
        inside = (sigma > 0) & np.isfinite(sigma)
        return np.where(inside, sigma / (1 + sigma) ** 2 / slope, 0)

    def quantile(u: FloatArray) -> Any:
        return time(u) / time(1 - u)  # which is 1 − t

    return law(f"mode(scale={s!r})", quantile, cdf, density)


def discrete_uniform(process: Process) -> Law:
    """Every entry of a process's table with the same probability: DDPM's uniform timestep.

    An infinite level, of a table without terminal signal, counts as 1e12.

    Raises:
        ValueError: the process has no table.

    Source: Ho et al. 2020 (arXiv 2006.11239), eq. 14.
    """
    if process.size is None:
        raise ValueError(f"process is {process.name}, expected one with a table")
    table = np.minimum(process.level(np.arange(process.size)), LARGEST)
    return _table(f"discrete_uniform({process.name})", table)


def geometric(n: int = 232, sigma_min: float = 0.02, sigma_max: float = 100.0) -> Law:
    """Levels in geometric progression, each with the same probability: NCSN.

    NCSN has 10 levels from 1 to 0.01 and NCSNv2 232 from 50 to 0.01 for CIFAR-10, for data in
    [0, 1]; the default doubles those of NCSNv2, for data in [-1, 1].

    Raises:
        ValueError: n < 2, or unless 0 < sigma_min < sigma_max.

    Source: Song & Ermon 2019 (arXiv 1907.05600), section 4.3; 2020 (arXiv 2006.09011), appendix B.
    """
    low, high = ordered("sigma_min", sigma_min, "sigma_max", sigma_max)
    if count(n) < 2:
        raise ValueError(f"n is {n}, expected at least 2")
    name = f"geometric(n={int(n)}, sigma_min={low!r}, sigma_max={high!r})"
    return _table(name, np.geomspace(low, high, n))


def _table(name: str, table: FloatArray) -> Law:
    size = table.size
    table.setflags(write=False)
    return law(
        name,
        lambda u: table[np.minimum((u * size).astype(np.int64), size - 1)],
        lambda sigma: np.searchsorted(table, sigma, side="right") / size,
        lambda sigma: np.isin(sigma, table) / size,
        table,
    )


def _times(process: Process, first: Any, last: Any) -> tuple[float, float]:
    """Return the range of times, checked: the papers' on [0, 1], else the process's own."""
    unit = process.size is None and process.t_max <= 1
    usual = (1e-5, 1.0) if unit else (process.t_min, process.t_max)
    first = number("t_min", usual[0] if first is None else first)
    last = number("t_max", usual[1] if last is None else last)
    if first >= last:
        raise ValueError(f"t_min is {first!r}, expected less than t_max = {last!r}")
    return first, last
