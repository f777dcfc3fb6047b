# SPDX-License-Identifier: Apache-2.0
"""What a row costs that draws noise, and one that does not, within one loop: compiled over ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import pydiffcore
from benchmarks import steps, written

__all__ = ["ratios_by_kind"]

ROUNDS, WARM = 25, 5


def ratios_by_kind(plan: pydiffcore.Plan, size: tuple[int, ...]) -> tuple[float, float]:
    """Return torch.compile's time over ours for the rows that draw, and for the others.

    Each row is timed by itself, rounds of both in turn; medians of each row, then their sums.
    """
    draws = (plan.stream[1:] >= 0).any(axis=1)
    loops = (_compiled(plan, size), _ours(plan, size))
    taken = np.array([[run() for run in loops] for _ in range(ROUNDS)])
    theirs, ours = np.median(taken[WARM:], axis=0)
    drawing, plain = (float(theirs[each].sum() / ours[each].sum()) for each in (draws, ~draws))
    return drawing, plain


def _ours(plan: pydiffcore.Plan, size: tuple[int, ...]) -> Callable[[], NDArray[np.float64]]:
    runner, given = pydiffcore.Runner(plan, size[1:], range(size[0])), steps.outputs(size)
    x = torch.zeros(size)

    def run() -> NDArray[np.float64]:
        runner.start(x)
        return _timed(plan.nfe, lambda i: runner.advance(given[i & 3]))

    return run


def _compiled(plan: pydiffcore.Plan, size: tuple[int, ...]) -> Callable[[], NDArray[np.float64]]:
    rows, given = written.compiled(written.functions("compiled", plan)), steps.outputs(size)
    start = tuple(torch.zeros(size) for _ in range(int(plan.registers_out[0])))
    out = torch.zeros(size)

    def run() -> NDArray[np.float64]:
        state: list[Any] = [start, ()]

        def row(i: int) -> None:
            function, c = rows[i]
            state[0], state[1], _ = function(state[0], state[1], given[i & 3], [out], out, c)

        return _timed(plan.nfe, row)

    return run


def _timed(rows: int, row: Callable[[int], object]) -> NDArray[np.float64]:
    seconds = np.empty(rows)
    for i in range(rows):
        began = time.perf_counter()
        row(i)
        seconds[i] = time.perf_counter() - began
    return seconds
