# SPDX-License-Identifier: Apache-2.0
"""Timing several contenders against each other: interleaved, medians of ratios within one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

__all__ = ["ratios", "seconds"]


def seconds(
    contenders: dict[str, Callable[[], None]], *, repeats: int = 7, budget: float = 6.0
) -> dict[str, list[float]]:
    """Time each contender in turn, round after round, after one round of warming up.

    Args:
        contenders: functions that do the same amount of work each.
        repeats: rounds at most.
        budget: seconds after which no further round begins, though never before three.
    """
    for work in contenders.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    begun = time.perf_counter()
    for round_ in range(repeats):
        if round_ >= 3 and time.perf_counter() - begun > budget:
            break
        for name, work in contenders.items():
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
