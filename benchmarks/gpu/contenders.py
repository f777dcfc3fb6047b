# SPDX-License-Identifier: Apache-2.0
"""All ways to run a task: each is built, run once, compared, and only then timed.

Results of deterministic samplers must be those of ``pydiffcore.sample`` from the same initial
state, up to the rounding of the network's dtype: ‖a − b‖ ≤ TOLERANCE·‖b‖.  Of stochastic ones only
our own loops draw the same noise, and only these are compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu import jax_loop, published
from benchmarks.gpu.clock import Clock
from benchmarks.gpu.graphs import Graph
from benchmarks.gpu.hand import Loop
from benchmarks.gpu.ours import Captured, Eager
from benchmarks.gpu.scale import Deadline
from benchmarks.gpu.scheduled import Scheduled
from benchmarks.gpu.task import Task

__all__ = [
    "CAPTURED",
    "CAPTURED_COMPILED",
    "EAGER_GRAPH",
    "GRAPH",
    "OTHER_BATCH",
    "OURS",
    "PUBLISHED",
    "TIME_IS_UP",
    "TOLERANCE",
    "Bench",
    "Contender",
    "Network",
    "build",
    "said",
]

TOLERANCE = 0.05  # bfloat16 rounds to 1/256, at every layer and call
COMPILED_ROOM = 100.0  # seconds that must be left for compiling a network
TIME_IS_UP = "the time is up"
OTHER_BATCH = "the network is compiled at another batch"

PUBLISHED = "published"
DIFFUSERS = "diffusers"
WITHOUT_SYNCS = "without syncs"
COMPILED_STEP = "compiled step"
EAGER_GRAPH = "one graph"
GRAPH = "one graph, compiled"
JAX = "jax"
SAMPLE = "pydiffcore.sample"
CAPTURED = "pydiffcore captured"
CAPTURED_COMPILED = "pydiffcore captured, compiled"
OURS = (SAMPLE, CAPTURED, CAPTURED_COMPILED)
COMPILED = (GRAPH, CAPTURED_COMPILED)  # those that share one compiled network

Run = Callable[[Tensor | None, Mapping[str, Tensor]], Tensor]


@dataclass
class Contender:
    """A way to run a task.

    Attributes:
        name: of it.
        run: called with an initial state or None, and the condition.
        build_seconds: from construction to the first result.
        cold_seconds: the same, and what it took to compile the network where it is compiled.
        difference: from ``pydiffcore.sample``, ‖a − b‖/‖b‖, or None where noise is its own.
        about: what else it says about itself.
    """

    name: str
    run: Run
    build_seconds: float
    cold_seconds: float
    difference: float | None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def agrees(self) -> bool | None:
        return None if self.difference is None else self.difference <= TOLERANCE


@dataclass
class Bench:
    """What was built for a task, what was not and why, and the seconds of compiling its network."""

    contenders: list[Contender]
    skipped: dict[str, str]
    compile_seconds: float | None


class Network:
    """A network compiled once and shared by those that need it compiled."""

    def __init__(self, task: Task) -> None:
        self.task, self.clock = task, Clock(task.device)
        self.seconds: float | None = None
        self.compiled: Callable[..., Tensor] | None = None

    def get(self) -> Callable[..., Tensor]:
        """Compile at the first call."""
        if self.compiled is None:
            task = self.task
            begun = time.perf_counter()
            network = torch.compile(task.network, dynamic=False, backend=task.scale.backend)
            network(task.noise().to(task.io), task.labels()[0], **task.condition)
            self.clock.wait()
            self.seconds, self.compiled = time.perf_counter() - begun, network
        return self.compiled


def makers(task: Task, network: Network) -> Iterator[tuple[str, Callable[[], Run]]]:
    """Yield the name of every contender and what makes it."""
    loop = published.LOOPS[task.method]
    yield SAMPLE, lambda: Eager(task)
    yield PUBLISHED, lambda: lambda x, condition: loop(task, x, condition, torch.randn_like)
    yield DIFFUSERS, lambda: Scheduled(task)
    yield WITHOUT_SYNCS, lambda: Loop(task)
    yield COMPILED_STEP, lambda: Loop(task, compiled=True)
    yield EAGER_GRAPH, lambda: Graph(Loop(task))
    yield CAPTURED, lambda: Captured(task)
    yield GRAPH, lambda: Graph(Loop(task, network.get(), compiled=True))
    yield CAPTURED_COMPILED, lambda: Captured(task, network.get())
    yield JAX, lambda: jax_loop.Loop(task)


@torch.no_grad()
def build(
    task: Task, deadline: Deadline, *, compiled: bool, network: Network | None = None
) -> Bench:
    """Build every contender, run it once and compare what it returns.

    One that cannot be built is left out with its reason: the others are worth as much.

    Args:
        task: what to run.
        deadline: what no longer fits is left out, compiling a network first.
        compiled: whether to compile the network at all, by torch or by JAX.
        network: one that was compiled for another task of the same shapes, or None.

    """
    clock = Clock(task.device)
    if network is None:
        torch.compiler.reset()  # dynamo gives up on a function compiled for many shapes
        network = Network(task)
    x = task.noise()
    bench, expected = Bench([], {}, None), None
    for name, make in makers(task, network):
        if name in (*COMPILED, JAX) and not compiled:
            bench.skipped[name] = OTHER_BATCH
            continue
        if name != SAMPLE and not deadline.allows(room(name, network)):
            bench.skipped[name] = TIME_IS_UP
            continue
        try:
            made, result = first_run(name, make, task, network, clock, x)
        except Exception as error:  # whatever another library raises
            if name == SAMPLE:  # what all others are compared with
                raise
            bench.skipped[name] = said(error)
            continue
        expected = result if expected is None else expected
        if comparable(name, task):
            made.difference = difference(result, expected)
        bench.contenders.append(made)
    bench.compile_seconds = network.seconds
    return bench


def room(name: str, network: Network) -> float:
    """Return the seconds that must be left for building a contender."""
    compiles = name == JAX or (name in COMPILED and network.compiled is None)
    return COMPILED_ROOM if compiles else 0.0


def first_run(
    name: str, make: Callable[[], Run], task: Task, network: Network, clock: Clock, x: Tensor
) -> tuple[Contender, Tensor]:
    """Return a contender and its first result; the network's compilation counts apart."""
    before = network.seconds or 0.0
    begun = time.perf_counter()
    run = make()
    seeds = {"seeds": range(task.batch)} if name in OURS else {}
    result = run(x.clone(), task.condition, **seeds)
    clock.wait()
    spent = time.perf_counter() - begun - ((network.seconds or 0.0) - before)
    cold = spent + (network.seconds or 0.0 if name in COMPILED else 0.0)
    about = run.about() if hasattr(run, "about") else {}
    return Contender(name, run, spent, cold, None, about), result


def comparable(name: str, task: Task) -> bool:
    return name in OURS or not task.plan.is_stochastic


def difference(a: Tensor, b: Tensor) -> float:
    """Return ‖a − b‖/‖b‖."""
    a, b = a.double(), b.double()
    return float((a - b).norm() / b.norm())


def said(error: Exception) -> str:
    """Return an error as one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:300]}"
