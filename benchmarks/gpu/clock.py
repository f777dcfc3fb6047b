# SPDX-License-Identifier: Apache-2.0
"""Two clocks, the device's events and the wall's, and contenders that are timed in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch

__all__ = ["Clock", "Taken", "interleaved", "quartiles", "ratios"]

FEWEST = 3
Work = Callable[[], object]


class Taken(NamedTuple):
    """Seconds by the device's events and by the wall clock; the same number on a CPU."""

    device: float
    wall: float


class Clock:
    """Times work on a device that is idle before and after."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.cuda = device.type == "cuda"

    def wait(self) -> None:
        """Wait until the device has nothing left to do."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def time(self, work: Work) -> Taken:
        """Run work once, to its end on the device."""
        self.wait()
        if not self.cuda:
            begun = time.perf_counter()
            work()
            wall = time.perf_counter() - begun
            return Taken(wall, wall)
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begun = time.perf_counter()
        first.record()
        work()
        last.record()
        self.wait()
        wall = time.perf_counter() - begun
        return Taken(first.elapsed_time(last) / 1e3, wall)


def interleaved(
    contenders: Mapping[str, Work],
    clock: Clock,
    *,
    rounds: int,
    seconds: float,
    before: Mapping[str, Work] | None = None,
) -> dict[str, list[Taken]]:
    """Time each contender once per round, after one round of warming up.

    The order rotates, so that nobody always runs after the same one.

    Args:
        contenders: functions that do the same amount of work each.
        clock: of their device.
        rounds: at most.
        seconds: after which no further round begins, though never before three.
        before: what a contender does first, outside its time.

    """
    names, taken = list(contenders), {name: [] for name in contenders}  # type: ignore[var-annotated]
    before = {} if before is None else before
    begun = 0.0
    for turn in range(-1, rounds):
        if turn == 0:
            begun = time.perf_counter()
        if turn >= FEWEST and time.perf_counter() - begun > seconds:
            break
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            if name in before:
                before[name]()
            spent = clock.time(contenders[name])
            if turn >= 0:
                taken[name].append(spent)
    return taken


def quartiles(values: Iterable[float]) -> dict[str, float]:
    """Return median and quartiles."""
    low, middle, high = np.quantile(list(values), (0.25, 0.5, 0.75)).tolist()
    return {"median": middle, "lower_quartile": low, "upper_quartile": high}


def ratios(taken: list[Taken], other: list[Taken]) -> dict[str, float]:
    """Return quartiles of the wall time over another's of the same round."""
    return quartiles(a.wall / b.wall for a, b in zip(taken, other, strict=True))
