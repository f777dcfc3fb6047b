# SPDX-License-Identifier: Apache-2.0
"""Timing several contenders against each other: interleaved, medians of ratios within one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Ratio", "interval", "ratios", "seconds"]


def seconds(
    contenders: dict[str, Callable[[], None]], *, repeats: int = 7, budget: float = 6.0
) -> dict[str, list[float]]:
    """Time each contender in turn, round after round, after one round of warming up.

    Each round begins with the next of them, so that none always finds another's caches.

    Args:
        contenders: functions that do the same amount of work each.
        repeats: rounds at most.
        budget: seconds after which no further round begins, though never before three.
    """
    for work in contenders.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders.items())
    begun = time.perf_counter()
    for round_ in range(repeats):
        if round_ >= 3 and time.perf_counter() - begun > budget:
            break
        first = round_ % len(order)
        for name, work in order[first:] + order[:first]:
            started = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - started)
    return taken


def ratios(taken: dict[str, list[float]], ours: str) -> dict[str, float]:
    """Median over the rounds of each contender's time over ours."""
    return {
        name: statistics.median(t / o for t, o in zip(times, taken[ours], strict=True))
        for name, times in taken.items()
    }


@dataclass(frozen=True)
class Ratio:
    """A median of ratios with its 95 % interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f}, 95 % in [{self.low:.2f}, {self.high:.2f}]"


def interval(taken: dict[str, list[float]], theirs: str, ours: str) -> Ratio:
    """Their time over ours, round by round: the median, bootstrapped over the rounds."""
    pairs = np.array(taken[theirs]) / np.array(taken[ours])
    draws = np.random.default_rng(0).choice(pairs, (4000, len(pairs)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return Ratio(float(np.median(pairs)), float(low), float(high))
