# SPDX-License-Identifier: Apache-2.0
"""One sampling step in several hands: ours, diffusers', hand-written eager torch, compiled torch.

A contender is a function that runs a whole loop of steps on given network outputs, without a
network.  Each updates the state and makes the next network input, which is what a loop needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

import pydiffcore
from benchmarks import written
from pydiffcore import levels, prediction, process, samplers

SIZES = [
    (1, 4, 8, 8),
    (64, 16, 7),
    (8192, 2),
    (64, 3, 32, 32),
    (16, 4, 64, 64),
    (8, 4, 128, 128),
    (64, 3, 256, 256),
]
METHODS = ["euler", "ancestral", "dpmpp_2m", "dpmpp_2m_sde"]
STOCHASTIC = ["ancestral", "dpmpp_2m_sde"]
BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
VP = process.discrete(process.scaled_linear_betas(1000))


def text(size: tuple[int, ...]) -> str:
    """A size as 64×3×32×32."""
    return "×".join(map(str, size))


def steps_for(size: tuple[int, ...]) -> int:
    """Steps of a loop: many where a step is short."""
    elements = int(np.prod(size))
    return 200 if elements < 10_000 else 50 if elements < 2_000_000 else 10


def every_case(
    methods: Iterable[str] = METHODS,
) -> Iterator[tuple[str, str, tuple[int, ...], int, int]]:
    """Yield (what, method, size, steps, threads) of every case, with torch's threads set."""
    available = torch.get_num_threads()
    for threads in sorted({1, available}):
        torch.set_num_threads(threads)
        for size in SIZES:
            for method in methods:
                what = f"{method}, {text(size)}, {threads} thread{'s'[: threads > 1]}"
                yield what, method, size, steps_for(size), threads


def outputs(size: tuple[int, ...]) -> list[Tensor]:
    """Network outputs to cycle through, so that each step reads one that is not its last."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(size, generator=generator) for _ in range(4)]


def plan_of(method: str, n: int, **options: Any) -> pydiffcore.Plan:
    """The method on n Karras levels with a noise-predicting network.

    DPM-Solver++ keeps its state in the process's scaling, as diffusers does: the state is then the
    network's input as it is, for every contender.
    """
    scaled = method.startswith(("dpmpp", "unipc"))
    sigmas = levels.karras(n, sigma_min=0.03, sigma_max=14.6, process=VP)
    sampler = getattr(samplers, method)
    scaling = VP if scaled else None
    return pydiffcore.trace(sampler, sigmas, prediction.eps(VP), scaling=scaling, **options)


def ours(method: str, size: tuple[int, ...], n: int, **options: Any) -> Callable[[], None]:
    """The public call with all its checks."""
    return rows_of(plan_of(method, n, **options), size)


def rows_of(plan: pydiffcore.Plan, size: tuple[int, ...]) -> Callable[[], None]:
    """A loop over a plan's rows on given network outputs."""
    runner = pydiffcore.Runner(plan, size[1:], range(size[0]))
    given = outputs(size)
    x = torch.zeros(size)

    def loop() -> None:
        runner.start(x)
        for i in range(plan.nfe):
            runner.advance(given[i & 3])

    return loop


def diffusers_loop(
    method: str, size: tuple[int, ...], n: int, *, scale_input: bool
) -> Callable[[], None]:
    """The matching scheduler's step, with or without its scale_model_input."""
    import diffusers

    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "euler": (diffusers.EulerDiscreteScheduler, {}),
        "ancestral": (diffusers.EulerAncestralDiscreteScheduler, {}),
        "dpmpp_2m": (diffusers.DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
        "dpmpp_2m_sde": (
            diffusers.DPMSolverMultistepScheduler,
            {"algorithm_type": "sde-dpmsolver++"},
        ),
        "dpmpp_3m": (diffusers.DPMSolverMultistepScheduler, {"solver_order": 3}),
        "unipc": (diffusers.UniPCMultistepScheduler, {}),
        "dpmpp_sde": (diffusers.DPMSolverSDEScheduler, {}),
    }
    kind, options = kinds[method]
    scheduler = kind(**BETAS, **options)
    given, start = outputs(size), torch.zeros(size)

    def loop() -> None:
        scheduler.set_timesteps(n)
        scheduler.is_scale_input_called = True  # else it warns, which would cost it time
        x = start
        for i, t in enumerate(scheduler.timesteps):
            if scale_input:
                scheduler.scale_model_input(x, t)
            x = scheduler.step(given[i & 3], t, x, return_dict=False)[0]

    return loop


def by_hand(
    form: str, method: str, size: tuple[int, ...], n: int, **options: Any
) -> Callable[[], None]:
    """The row written by hand in torch, in a form of ``written``."""
    return written.loop(form, plan_of(method, n, **options), size, outputs(size))


eager_plain, eager_in_place, eager_foreach, compiled = (
    partial(by_hand, form) for form in [*written.FORMS, "compiled"]
)
