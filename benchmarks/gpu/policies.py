# SPDX-License-Identifier: Apache-2.0
"""Latency of an action policy at batch 1: from an observation on the host to actions there.

Every call has a new observation.  p50, p99 and jitter (p99 − p50) are over all calls, by the wall
clock; the cold start is from construction to the first action, with what it took to compile the
network.  Contenders take turns in blocks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.clock import quartiles
from benchmarks.gpu.contenders import Bench, Contender, Network, build, said
from benchmarks.gpu.end_to_end import described, verdict
from benchmarks.gpu.networks import parameters
from benchmarks.gpu.scale import Deadline, Scale
from benchmarks.gpu.task import Task, policy_network, policy_task

__all__ = ["measure"]

METHODS = {"ddpm": 100, "ddim": 10}
FEWER = {"ddpm": 10, "ddim": 5}
BLOCK = 20
WARM_UP = 3


def measure(scale: Scale, device: torch.device, deadline: Deadline) -> Iterator[dict[str, Any]]:
    """Yield the figures of each sampler."""
    network = policy_network(device, scale)
    torch.compiler.reset()
    compiled = None
    for method, steps in (FEWER if scale.small else METHODS).items():
        given = policy_task(network, method, steps, device, scale)
        compiled = Network(given) if compiled is None else compiled
        try:
            bench = build(given, deadline, compiled=True, network=compiled)
            found = {**described(given, bench), **latencies(given, bench)}
        except Exception as error:  # the other sampler goes on
            yield {"network": "policy", "sampler": method, "error": said(error)}
            continue
        yield {**found, "parameters": parameters(network)}


@torch.no_grad()
def latencies(given: Task, bench: Bench) -> dict[str, Any]:
    """Time every call apart."""
    calls = given.scale.calls
    shape = given.condition["observation"].shape
    observations = torch.randn((calls + WARM_UP, *shape)).to(given.io)
    seconds: dict[str, list[float]] = {each.name: [] for each in bench.contenders}
    for each in bench.contenders:
        for observation in observations[calls:]:
            one(each, given, observation)
    for begin in range(0, calls, BLOCK):
        for each in bench.contenders:
            for observation in observations[begin : begin + BLOCK]:
                seconds[each.name].append(one(each, given, observation))
    found = [{**outline(each), **latency(seconds[each.name])} for each in bench.contenders]
    return {"contenders": found, "verdict": verdict(found, "wall_seconds")}


def one(each: Contender, given: Task, observation: Tensor) -> float:
    """Return the seconds from an observation to its actions, which the copy back waits for."""
    begun = time.perf_counter()
    condition = {"observation": observation.to(given.device)}
    each.run(None, condition).cpu()
    return time.perf_counter() - begun


def outline(each: Contender) -> dict[str, Any]:
    return {
        "name": each.name,
        "cold_start_seconds": each.cold_seconds,
        "difference": each.difference,
        "agrees": each.agrees,
        **(each.run.about() if hasattr(each.run, "about") else {}),
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
