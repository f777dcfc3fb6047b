# SPDX-License-Identifier: Apache-2.0
"""Whole runs, and how much of each lies outside the network: what a sampler can make faster.

A network's own time moves by ten per cent between calls on a shared machine, which is more than
all that is outside of a large one.  So its calls are timed inside the very run that they belong to.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from benchmarks.claims.claim import Figure
from benchmarks.interleaved import interval, seconds

__all__ = ["Watch", "compared"]


class Watch:
    """Counts the seconds that a network's calls take, whoever calls it."""

    def __init__(self, network: nn.Module) -> None:
        self.seconds = 0.0
        forward = network.forward

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return forward(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - started

        network.forward = timed  # type: ignore[method-assign]


def compared(
    what: str, runs: dict[str, Callable[[], Any]], watch: Watch, calls: int, rounds: int,
    percentiles: Callable[[str, list[float]], Iterator[Figure]],
) -> Iterator[Figure]:  # fmt: skip
    """Compare whole runs with those of "diffusers": time outside the network, which the bar is on,
    and end to end, with the 95 % interval of what the rounds cannot tell.

    Args:
        what: is run.
        runs: of the contenders, each with the same network; one is "diffusers".
        watch: of that network.
        calls: of the network in a run.
        rounds: of all contenders.
        percentiles: figures of the whole times of one contender, in ms.
    """
    inside: dict[str, list[float]] = {name: [] for name in runs}

    def watched(name: str, run: Callable[[], Any]) -> Callable[[], None]:
        def work() -> None:
            before = watch.seconds
            run()
            inside[name].append(watch.seconds - before)

        return work

    work = {name: watched(name, run) for name, run in runs.items()}
    taken = seconds(work, repeats=rounds, budget=float("inf"))
    outside = {
        name: [t - n for t, n in zip(taken[name], inside[name][1:], strict=True)] for name in runs
    }
    peer = statistics.median(outside["diffusers"]) / calls * 1e6
    for name in runs:
        yield from percentiles(f"{what}, {name}", [1e3 * t for t in taken[name]])
        a_call = statistics.median(inside[name][1:]) / calls * 1e6
        own = name != "diffusers"
        yield Figure(
            f"{what}, {name}: outside the network",
            statistics.median(outside[name]) / calls * 1e6,
            f"<= {peer:.4g}" if own else "",
            "µs a step",
            f"the network takes {a_call:.0f}",
        )
        if own:
            ratio = interval(taken, name, "diffusers")
            yield Figure(f"{what}, {name}: time over diffusers'", ratio.median, "", "", f"{ratio}")
