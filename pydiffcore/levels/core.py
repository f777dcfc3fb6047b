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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pydiffcore.process import Process

FloatArray = NDArray[np.float64]
# Stands for the infinite level of zero terminal signal.  In the process's own scaling
# (trace(..., scaling=process)) the limit is met to 1e-12.
UNBOUNDED = 1e12


@dataclass(frozen=True, eq=False)
class Levels:
    """A list of noise levels, strictly descending, with the process it belongs to.

    Fields:
        sigma: float64 [n + 1], read-only; finite, positive but for the last one, which may be 0.
        process: gives each level its time and signal scale.
        name: how the list was made, with all parameters.
        rising: whether the list may also rise, where a sampler adds noise again (Restart);
            afterwards whether it does.
        before: the levels that a part of a list was cut from, down to its first one; a plan's
            noise then goes on where theirs ends.

    Raises:
        ValueError: for a wrong shape, fewer than two levels, or values that are not finite,
            negative, or not strictly descending.

    """

    sigma: FloatArray
    process: Process
    name: str
    rising: bool = False
    before: "Levels | None" = None

    def __post_init__(self) -> None:
        """Check the list and make it read-only."""
        sigma = np.array(self.sigma, dtype=np.float64)
        _check(sigma, self.rising)
        sigma.setflags(write=False)
        object.__setattr__(self, "sigma", sigma)
        object.__setattr__(self, "rising", bool(np.any(np.diff(sigma) > 0.0)))

    def __len__(self) -> int:
        return self.sigma.size - 1

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return sigma, so that ``np.asarray(levels)`` is the list of levels."""
        return np.array(self.sigma, dtype) if copy or dtype is not None else self.sigma

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Levels):
            return NotImplemented
        same = self.process == other.process and np.array_equal(self.sigma, other.sigma)
        return same and self.before == other.before

    def __hash__(self) -> int:
        return hash((self.process, self.sigma.tobytes(), self.before))

    def steps(self, upwards: bool = False) -> Iterator[tuple[float, float]]:
        """Yield (sigma_i, sigma_{i+1}) of each step as Python floats.

        Args:
            upwards: take levels that only rise as well: the sampler's formula is right in both
                directions of the probability-flow ODE.

        Raises:
            ValueError: the list rises; samplers that add noise there read :meth:`jumps`.

        """
        if self.rising and np.any(np.diff(self.sigma) < 0.0):
            raise ValueError(f"{self.name} rises: of the samplers, restart takes such levels")
        if self.rising and not upwards:
            raise ValueError(
                f"{self.name} rises; of the samplers, euler, heun, lms and the one-step methods "
                "without noise follow the ODE upwards"
            )
        yield from pairwise(self.sigma.tolist())

    def jumps(self) -> Iterator[tuple[float, float]]:
        """Yield (sigma_i, sigma_{i+1}), some of which may rise, as Python floats."""
        yield from pairwise(self.sigma.tolist())

    @property
    def t(self) -> FloatArray:
        """Times of the levels, float64 [n + 1]; -inf where the process never reaches 0."""
        return np.asarray(self.process.time(self.sigma))

    @property
    def alpha(self) -> FloatArray:
        """Signal scales of the levels, float64 [n + 1]."""
        return np.asarray(self.process.alpha_at(self.sigma))


def _check(sigma: FloatArray, rising: bool) -> None:
    if sigma.ndim != 1 or sigma.size < 2:
        raise ValueError(
            f"sigma must have shape [n + 1] with at least one step, got shape {sigma.shape}"
        )
    descending = "strictly descending"
    for wrong, expected in (
        (~np.isfinite(sigma), "finite"),
        (sigma < 0.0, "not negative"),
        (np.append(False, ~_moves(sigma, rising)), "rising or falling" if rising else descending),
    ):
        if wrong.any():
            at = int(np.argmax(wrong))
            before = f" after {float(sigma[at - 1])!r}" if at else ""
            raise ValueError(
                f"sigma must be {expected}; sigma[{at}] is {float(sigma[at])!r}{before}"
            )


def _moves(sigma: FloatArray, rising: bool) -> NDArray[np.bool_]:
    """Whether each step goes somewhere: down, or where levels may rise, up from above 0."""
    return (sigma[1:] < sigma[:-1]) | ((sigma[1:] > sigma[:-1]) & (sigma[:-1] > 0) & rising)


def step_count(n: int) -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n must be a positive whole number of steps, got {n!r}")
    return int(n)


def bounds(low_name: str, low: float, high_name: str, high: float) -> tuple[float, float]:
    for name, value in ((low_name, low), (high_name, high)):
        if not (math.isfinite(value) and value > 0.0):
            raise ValueError(f"{name} must be positive and finite, got {value!r}")
    if low >= high:
        raise ValueError(f"{low_name} must be below {high_name}, got {low!r} and {high!r}")
    return float(low), float(high)


def ramp(n: int, final_zero: bool) -> FloatArray:
    """Return 0 ... 1 over the levels that the rule itself gives: n, or n + 1 without a final 0."""
    return np.linspace(0.0, 1.0, step_count(n) if final_zero else step_count(n) + 1)


def assemble(sigma: FloatArray, final_zero: bool, process: Process, name: str) -> Levels:
    full = np.append(sigma, 0.0) if final_zero else sigma
    return Levels(full, process, name if final_zero else f"{name[:-1]}, final_zero=False)")


def falling(sigma: FloatArray) -> FloatArray:
    """Return the levels without repetitions, where a rule that rounds or clips makes some equal."""
    return sigma[np.append(True, sigma[1:] != sigma[:-1])]
