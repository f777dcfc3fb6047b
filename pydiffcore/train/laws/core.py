# SPDX-License-Identifier: Apache-2.0
"""The value Law, and draws of it that are stratified over the batch of all ranks.

Sample i of a batch of B takes the quantile (i + U_i)/B of the law, U_i uniform from the sample's
own seed: every batch covers the law evenly, which lowers the variance of the gradient and leaves
its expectation.  i and B count the batch of all ranks together, so that a sample's level does not
depend on which rank holds it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pydiffcore.ops.noise import LEVEL, normal, seed_keys
from pydiffcore.ops.uncompiled import uncompiled

__all__ = ["Law", "shifted", "stratified"]

FloatArray = NDArray[np.float64]
Formula = Callable[[FloatArray], Any]


@dataclass(frozen=True)
class Law:
    """A distribution of levels sigma > 0.  Two laws are equal when their names are.

    Fields:
        name: the law and all its parameters.
        quantile: u in [0, 1] -> the level below which the share u of the law lies.
        cdf: sigma -> that share.
        density: sigma -> the density of ln sigma; of a table, the mass of the level sigma.
        levels: the table of a discrete law, ascending; None of a continuous one.

    The three functions take a number or an array and return float64 of the same shape.  They raise
    ValueError for a u outside [0, 1], or a level that is negative or NaN.
    """

    name: str
    quantile: Callable[[ArrayLike], Any] = field(compare=False, repr=False)
    cdf: Callable[[ArrayLike], Any] = field(compare=False, repr=False)
    density: Callable[[ArrayLike], Any] = field(compare=False, repr=False)
    levels: FloatArray | None = field(default=None, compare=False, repr=False)

    @uncompiled
    def sample(
        self, seeds: Any, stream: int = 0, *, of: tuple[int, int] | None = None
    ) -> FloatArray:
        """Return one level per seed, stratified over the whole batch: float64 [k].

        Args:
            seeds: k integers in [0, 2^64).
            stream: which levels of those seeds, in [0, 2^32).
            of: (first, total): the seeds are samples first … first + k − 1 of a batch of total,
                as a rank holds them; by default they are the whole batch.

        Raises:
            TypeError, ValueError: seeds, stream or of do not fit.
        """
        return np.asarray(self.quantile(stratified(seeds, stream, of=of)))


def stratified(seeds: Any, stream: int = 0, *, of: tuple[int, int] | None = None) -> FloatArray:
    """Return (i + U_i)/B of the samples i that the seeds belong to, float64 [k]; see Law.sample."""
    keys = seed_keys(seeds)
    first, total = _part(of, len(keys))
    return (np.arange(first, first + len(keys)) + uniform(keys, stream)) / total


def uniform(keys: NDArray[np.uint64], stream: int = 0) -> FloatArray:
    """Return U of each seed, uniform in (0, 1), float64 [k]."""
    z = normal(keys, (), purpose=LEVEL, stream=stream, dtype=torch.float64)
    return torch.special.ndtr(z).clamp_(1e-6, 1 - 1e-6).numpy()


def _part(of: tuple[int, int] | None, size: int) -> tuple[int, int]:
    if of is None:
        return 0, size
    first, total = (operator.index(number) for number in of)
    if not 0 <= first <= first + size <= total:
        raise ValueError(
            f"of is {tuple(of)} for {size} seeds, expected (first, total) with first + {size} of "
            "at most total"
        )
    return first, total


def law(
    name: str,
    quantile: Formula,
    cdf: Formula,
    density: Formula,
    levels: FloatArray | None = None,
) -> Law:
    """Return a Law of formulas whose arguments are float64 arrays in range."""

    def of_share(u: ArrayLike) -> Any:
        u = np.asarray(u, np.float64)
        if u.size and not (u.min() >= 0 and u.max() <= 1):
            raise ValueError(f"u is {u}, expected values in [0, 1]")
        with np.errstate(divide="ignore", over="ignore"):
            return np.asarray(quantile(u), np.float64)[()]

    def of_level(formula: Formula) -> Callable[[ArrayLike], Any]:
        def checked(sigma: ArrayLike) -> Any:
            sigma = np.asarray(sigma, np.float64)
            if sigma.size and not sigma.min() >= 0:
                raise ValueError(f"sigma is {sigma}, expected levels of at least 0")
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                return np.asarray(formula(sigma), np.float64)[()]

        return checked

    return Law(name, of_share, of_level(cdf), of_level(density), levels)


def shifted(base: Law, factor: float) -> Law:
    """Return the law of factor·sigma: resolution shift and the time shift of flow models.

    SD3's shift of the time, t' = s t/(1 + (s − 1) t), multiplies the level t/(1 − t) by s; noise
    that averages out over m pixels of a larger image calls for s = sqrt(m).

    Args:
        base: the law of sigma.
        factor: s.

    Raises:
        ValueError: unless factor is positive and finite.

    Source: Esser et al. 2024 (arXiv 2403.03206), eq. 23; Hoogeboom et al. 2023 (arXiv 2301.11093),
    section 3.1.
    """
    s = number("factor", factor, above=0.0)
    return law(
        f"shifted({base.name}, factor={s!r})",
        lambda u: s * base.quantile(u),
        lambda sigma: base.cdf(sigma / s),
        lambda sigma: base.density(sigma / s),
        None if base.levels is None else s * base.levels,
    )


def invert(rising: Formula, value: FloatArray) -> FloatArray:
    """Return u in [0, 1] with rising(u) = value, by bisection to the last bit."""
    low, high = np.zeros(value.shape), np.ones(value.shape)
    for _ in range(60):
        middle = 0.5 * (low + high)
        below = rising(middle) < value
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)


def number(name: str, value: Any, *, above: float = -np.inf, infinite: bool = False) -> float:
    """Return a value as a float; ValueError unless it is above a limit and finite."""
    fits = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (fits and value > above and (infinite or np.isfinite(value))):
        range_ = "a number" if above == -np.inf else f"a number above {above:g}"
        raise ValueError(f"{name} is {value!r}, expected {range_}")
    return float(value)


def ordered(low_name: str, low: Any, high_name: str, high: Any) -> tuple[float, float]:
    """Return two positive finite numbers; ValueError unless they rise."""
    low, high = number(low_name, low, above=0.0), number(high_name, high, above=0.0)
    if low >= high:
        raise ValueError(f"{low_name} is {low!r}, expected less than {high_name} = {high!r}")
    return low, high
