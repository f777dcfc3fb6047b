# SPDX-License-Identifier: Apache-2.0
"""Latency of action policies at batch 1: from an observation on the host to actions there.

Every call has a new observation.  p50, p99 and jitter (p99 − p50) are over all calls, by the wall
clock.  Contenders take turns in blocks; each has the same seconds, so that slow ones have fewer
calls, and say how many.  ``first_seconds`` are from construction to the first action where other
loops have run before, and what it took to compile the network; the cold start is another process's
(benchmarks/gpu/cold.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu import cold
from benchmarks.gpu.clock import quartiles
from benchmarks.gpu.contenders import TIME_IS_UP, Bench, Contender, Network, build, said
from benchmarks.gpu.end_to_end import described, verdict
from benchmarks.gpu.networks import parameters
from benchmarks.gpu.scale import Deadline, Scale
from benchmarks.gpu.task import POLICIES, Task, policy_network, policy_task

__all__ = ["measure"]

METHODS = {"ddpm": 100, "ddim": 10, "flow": 10}
FEWER = {"ddpm": 10, "ddim": 5, "flow": 5}
COLD = "ddpm"  # the longest to record
BLOCK = 20
WARM_UP = 3
FEWEST = 5  # calls of a contender, however long they take
ROOM = 20.0  # seconds that must be left for a sampler
PART = 1 / 80  # of the time for all policies that goes to the calls of one contender


def measure(scale: Scale, device: torch.device, deadline: Deadline) -> Iterator[dict[str, Any]]:
    """Yield the figures of each sampler and network, the slowest sampler first."""
    torch.compiler.reset()
    seconds = PART * deadline.share("policies")
    compiled: dict[str, Network] = {}
    for method, steps in (FEWER if scale.small else METHODS).items():
        for name in POLICIES:
            at = {"network": name, "sampler": method, "batch": 1}
            if not deadline.allows(ROOM):
                yield {**at, "skipped": TIME_IS_UP}
                continue
            try:
                given = task_of(name, method, steps, device, scale, compiled.get(name))
                compiled.setdefault(name, Network(given))
                yield one(given, compiled[name], deadline, seconds)
            except Exception as error:  # the others go on
                yield {**at, "error": said(error)}


def task_of(
    name: str,
    method: str,
    steps: int,
    device: torch.device,
    scale: Scale,
    before: Network | None,
) -> Task:
    """Return a task on the network of an earlier one, where there is one."""
    network = policy_network(name, device, scale) if before is None else before.task.network
    return policy_task(name, network, method, steps, device, scale)


def one(given: Task, compiled: Network, deadline: Deadline, seconds: float) -> dict[str, Any]:
    """Return the figures of one task."""
    bench = build(given, deadline, compiled=True, network=compiled)
    found = {**described(given, bench), **latencies(given, bench, seconds)}
    if given.method == COLD:
        found["cold_start"] = cold.asked(given)
    return {**found, "parameters": parameters(given.network)}


@torch.no_grad()
def latencies(given: Task, bench: Bench, limit: float) -> dict[str, Any]:
    """Time every call apart, no contender for much longer than a limit."""
    calls = given.scale.calls
    shape = given.condition["observation"].shape
    observations = torch.randn((calls + WARM_UP, *shape)).to(given.io)
    seconds: dict[str, list[float]] = {each.name: [] for each in bench.contenders}
    for each in bench.contenders:
        for observation in observations[calls:]:
            called(each, given, observation)
    for begin in range(0, calls, BLOCK):
        for each in bench.contenders:
            taken = seconds[each.name]
            for observation in observations[begin : begin + BLOCK]:
                if len(taken) >= FEWEST and sum(taken) > limit:
                    break
                taken.append(called(each, given, observation))
    found = [{**outline(each), **latency(seconds[each.name])} for each in bench.contenders]
    return {"contenders": found, "verdict": verdict(found, "wall_seconds")}


def called(each: Contender, given: Task, observation: Tensor) -> float:
    """Return the seconds from an observation to its actions, which the copy back waits for."""
    begun = time.perf_counter()
    condition = {"observation": observation.to(given.device)}
    each.run(None, condition).cpu()
    return time.perf_counter() - begun


def outline(each: Contender) -> dict[str, Any]:
    return {
        "name": each.name,
        "first_seconds": each.cold_seconds,
        "difference": each.difference,
        "agrees": each.agrees,
        **each.about,
    }


def latency(seconds: list[float]) -> dict[str, Any]:
    p50, p99 = np.quantile(seconds, (0.5, 0.99)).tolist()
    return {
        "p50_seconds": p50,
        "p99_seconds": p99,
        "jitter_seconds": p99 - p50,
        "wall_seconds": quartiles(seconds),
        "calls": len(seconds),
    }
