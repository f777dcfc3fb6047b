# SPDX-License-Identifier: Apache-2.0
"""Threads that share a scheduler or its configuration, and what a list of generators costs.

A launch is an operation that writes a tensor of at least one sample's size, ours or torch's;
the network's are not counted.  python -m benchmarks.claims.zoo.threads
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Iterator
from typing import Any

import diffusers
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import pydiffcore.adapters.diffusers as ours
from benchmarks.claims.claim import Figure, main
from pydiffcore.adapters.diffusers.run import Run

THREADS = 8
NAMES = sorted(set(ours.FAMILIES) - {"ScoreSdeVeScheduler"})  # which takes two kinds of steps
CONFIG = {"DPMSolverSDEScheduler": {"noise_sampler_seed": 0}}  # its own seeds are random
SHAPE = (3, 8, 8)


def network(x: torch.Tensor) -> torch.Tensor:
    """A stand-in that lets another thread run."""
    time.sleep(1e-4)
    return 0.5 * torch.tanh(x)


def loop(scheduler: Any, i: int) -> torch.Tensor:
    """A run of its own length and noise."""
    scheduler.set_timesteps(6 + i)
    generators = [torch.Generator().manual_seed(100 * i + b) for b in range(2)]
    takes = "generator" in inspect.signature(scheduler.step).parameters
    x = torch.randn(2, *SHAPE, generator=generators[0]) * float(
        getattr(scheduler, "init_noise_sigma", 1.0)
    )
    options: dict[str, Any] = {"generator": generators} if takes else {}
    for t in scheduler.timesteps:
        given = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(network(given), t, x, **options).prev_sample
    return x


def differing(name: str, module: Any, shared: bool, noise: str = "torch") -> int:
    """Runs in threads that give another result than the serial ones, to the bit, or raise."""
    cls = getattr(module, name)
    config = cls(**CONFIG.get(name, {})).config

    def scheduler() -> Any:
        made = cls.from_config(config)
        if noise != "torch":
            made.noise = noise
        return made

    serial = [loop(scheduler(), i) for i in range(THREADS)]
    one, found, started = scheduler(), {}, threading.Barrier(THREADS)

    def work(i: int) -> None:
        mine = one if shared else scheduler()
        started.wait()
        try:
            found[i] = loop(mine, i)
        except Exception:
            found[i] = None

    workers = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    same = (found[i] is not None and torch.equal(found[i], serial[i]) for i in range(THREADS))
    return THREADS - sum(same)


def together(module: Any, shared: bool, noise: str = "torch") -> int:
    """Differing runs of all classes."""
    return sum(differing(name, module, shared, noise) for name in NAMES)


class Launches(TorchDispatchMode):
    """Counts operations that write at least one sample, except views and bare allocations."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.count = size, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        writes = isinstance(result, torch.Tensor) and result.numel() >= self.size
        if writes and not func.is_view and not func.__name__.startswith("empty"):
            self.count += 1
        return result


class Rows:
    """A native program that counts its rows; each is one launch."""

    def __init__(self, program: Any, counter: Launches) -> None:
        self.program, self.counter = program, counter

    def advance(self, *args: Any) -> Any:
        self.counter.count += 1
        return self.program.advance(*args)


def launches(name: str, module: Any, batch: int, noise: str = "torch", config: Any = None) -> int:
    """Launches of one step in the middle of a run whose samples have a generator each."""
    scheduler = getattr(module, name)(**(config or {}))
    if noise != "torch":
        scheduler.noise = noise
    scheduler.set_timesteps(6)
    generators = [torch.Generator().manual_seed(b) for b in range(batch)]
    x, counter = torch.randn(batch, *SHAPE), Launches(SHAPE[0] * SHAPE[1] * SHAPE[2])
    for i, t in enumerate(scheduler.timesteps[:4]):
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(x, t)
        F, rest = network(x), {"generator": generators, "return_dict": False}
        if i < 3:
            x = scheduler.step(F, t, x, **rest)[0]
            continue
        run = getattr(scheduler, "_run", None)
        if isinstance(run, Run):
            assert run.program is not None, "the native kernels are not there"
            run.program = Rows(run.program, counter)  # type: ignore[assignment]
        with counter:
            scheduler.step(F, t, x, **rest)
    return counter.count


STOCHASTIC = [
    ("DDPMScheduler", {}),
    ("EulerAncestralDiscreteScheduler", {}),
    ("FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True}),
]


def measure() -> Iterator[Figure]:
    torch.set_num_threads(1)
    what = f"of {THREADS * len(NAMES)} runs of {len(NAMES)} classes in {THREADS} threads"
    for noise in ("torch", "seeded"):
        for shared in (False, True):
            one = "one scheduler" if shared else "schedulers of one configuration"
            yield Figure(
                f"{what}, lists of generators, {one}, noise={noise!r}: those that differ from the "
                "serial run in any bit",
                together(ours, shared, noise), "<= 0",
            )  # fmt: skip
    yield Figure(
        f"{what}, one scheduler: those that differ or raise with diffusers' own",
        together(diffusers, True), note="its run is its own attributes, one set for all threads",
    )  # fmt: skip
    for name, config in STOCHASTIC:
        ones = launches(name, ours, 1, "seeded", config)
        for batch in (1, 8, 64):
            given = f"{name}, launches of a step with {batch} generator{'s' * (batch > 1)}"
            seeded = launches(name, ours, batch, "seeded", config)
            yield Figure(f"{given}, ours, noise='seeded'", seeded, f"<= {ones}")
            yield Figure(
                f"{given}, ours, noise='torch' (the default)",
                launches(name, ours, batch, config=config),
                note="diffusers' numbers: a draw per generator, as diffusers makes",
            )
            yield Figure(f"{given}, diffusers", launches(name, diffusers, batch, config=config))


if __name__ == "__main__":
    main(measure)
