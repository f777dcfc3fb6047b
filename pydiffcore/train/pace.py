# SPDX-License-Identifier: Apache-2.0
"""All threads while the cores are free, one thread once they are not.

OpenMP's threads spin at the end of every operation until the last of them is done.  If another
process holds the core of one, the others wait for whole time slices: steps were seen to take
thirty times as long with two threads as with one.  So the first steps are timed on one thread, the
next run on all, and if those are slower for some steps in a row the rest runs on one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

import torch

__all__ = ["Pace"]

TIMED = 4  # steps on one thread; the first of them, which also sets things up, does not count
PATIENCE = 5  # slow steps in a row that are believed
SLOWER = 1.2


class Pace:
    """Context that sets torch's number of threads from the time of each step.

    Call ``step()`` at the end of every step.  The former number comes back at the end.

    Attributes:
        gave_up: whether the other threads were given up.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.gave_up = False
        self._clock = clock
        self._threads = torch.get_num_threads()
        self._steps = 0
        self._slow = 0
        self._single = float("inf")
        self._last = 0.0

    def __enter__(self) -> Pace:
        if self._threads > 1:
            torch.set_num_threads(1)
        self._last = self._clock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        torch.set_num_threads(self._threads)

    def step(self) -> None:
        """Take the time since the last step and choose the number of threads of the next."""
        now = self._clock()
        seconds, self._last = now - self._last, now
        self._steps += 1
        if self._threads == 1 or self.gave_up:
            return
        if self._steps <= TIMED:
            if self._steps > 1:
                self._single = min(self._single, seconds)
            if self._steps == TIMED:
                torch.set_num_threads(self._threads)
            return
        self._slow = self._slow + 1 if seconds > SLOWER * self._single else 0
        if self._slow == PATIENCE:
            self.gave_up = True
            torch.set_num_threads(1)
