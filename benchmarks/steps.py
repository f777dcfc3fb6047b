# SPDX-License-Identifier: Apache-2.0
"""One sampling step in several hands: ours, diffusers', hand-written eager torch, compiled torch.

A contender is a function that runs a whole loop of steps on given network outputs, without a
network.  Each updates the state and makes the next network input, which is what a loop needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

import pydiffcore
from pydiffcore import levels, prediction, process, samplers
from pydiffcore.ops.rows import fold

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


def every_case() -> Iterator[tuple[str, str, tuple[int, ...], int, int]]:
    """Yield (what, method, size, steps, threads) of every case, with torch's threads set."""
    available = torch.get_num_threads()
    for threads in sorted({1, available}):
        torch.set_num_threads(threads)
        for size in SIZES:
            for method in METHODS:
                what = f"{method}, {text(size)}, {threads} thread{'s'[: threads > 1]}"
                yield what, method, size, steps_for(size), threads


def outputs(size: tuple[int, ...]) -> list[Tensor]:
    """Network outputs to cycle through, so that each step reads one that is not its last."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(size, generator=generator) for _ in range(4)]


def plan_of(method: str, n: int) -> pydiffcore.Plan:
    """The method on n Karras levels with a noise-predicting network.

    DPM-Solver++ keeps its state in the process's scaling, as diffusers does: the state is then the
    network's input as it is, for every contender.
    """
    scaled = method.startswith("dpmpp")
    sigmas = levels.karras(n, sigma_min=0.03, sigma_max=14.6, process=VP)
    sampler = getattr(samplers, method)
    return pydiffcore.trace(sampler, sigmas, prediction.eps(VP), scaling=VP if scaled else None)


def ours(method: str, size: tuple[int, ...], n: int) -> Callable[[], None]:
    """The public call with all its checks."""
    plan = plan_of(method, n)
    runner = pydiffcore.Runner(plan, size[1:], range(size[0]))
    given = outputs(size)
    x = torch.zeros(size)

    def loop() -> None:
        runner.start(x)
        for i in range(n):
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


def coefficients(method: str, n: int) -> tuple[Any, bool, bool]:
    """Folded rows of a method, whether it keeps a second register, and whether it draws."""
    rows = fold(plan_of(method, n), unit_noise=False)
    return rows, rows.A.shape[1] > 1, method in STOCHASTIC


def eager_plain(method: str, size: tuple[int, ...], n: int) -> Callable[[], None]:
    """x' = a·x + b·y + c·F + s·z as it is written, a new tensor per operation."""
    rows, two, draws = coefficients(method, n)
    given, start = outputs(size), torch.zeros(size)
    A, f, S, c_in = rows.A.tolist(), rows.f.tolist(), rows.S.tolist(), rows.c_in.tolist()

    def loop() -> None:
        x, y = start, start
        for i in range(n):
            a, F = A[i + 1], given[i & 3]
            new = a[0][0] * x + f[i + 1][0] * F
            if two:
                new = new + a[0][1] * y
                y = a[1][0] * x + f[i + 1][1] * F
            if draws:
                new = new + S[i + 1][0][0] * torch.randn_like(x)
            x = new
            _ = x if c_in[i] == 1.0 else c_in[i + 1] * x

    return loop


def eager_in_place(method: str, size: tuple[int, ...], n: int) -> Callable[[], None]:
    """The same with mul_ and add_ into buffers that are kept."""
    rows, two, draws = coefficients(method, n)
    given = outputs(size)
    A, f, S, c_in = rows.A.tolist(), rows.f.tolist(), rows.S.tolist(), rows.c_in.tolist()
    x, past, z, spare, out = (torch.zeros(size) for _ in range(5))

    def loop() -> None:
        x.zero_()
        y, kept = past, spare
        for i in range(n):
            a, F = A[i + 1], given[i & 3]
            if two:
                torch.mul(x, a[1][0], out=kept)
                kept.add_(F, alpha=f[i + 1][1])
            x.mul_(a[0][0]).add_(F, alpha=f[i + 1][0])
            if two:
                x.add_(y, alpha=a[0][1])
                y, kept = kept, y
            if draws:
                x.add_(z.normal_(), alpha=S[i + 1][0][0])
            if c_in[i] != 1.0:
                torch.mul(x, c_in[i + 1], out=out)

    return loop


def eager_foreach(method: str, size: tuple[int, ...], n: int) -> Callable[[], None]:
    """The same with torch._foreach operations over the registers."""
    rows, two, draws = coefficients(method, n)
    given = outputs(size)
    A, f, S, c_in = rows.A.tolist(), rows.f.tolist(), rows.S.tolist(), rows.c_in.tolist()
    x, y, z = (torch.zeros(size) for _ in range(3))

    def loop() -> None:
        state = [x, y] if two else [x]
        for i in range(n):
            a, F = A[i + 1], given[i & 3]
            new = torch._foreach_mul([state[0]] * len(state), [row[0] for row in a])
            terms = torch._foreach_mul([F] * len(state), f[i + 1][: len(state)])
            torch._foreach_add_(new, terms)
            if two:
                new[0].add_(state[1], alpha=a[0][1])
            if draws:
                new[0].add_(z.normal_(), alpha=S[i + 1][0][0])
            state = list(new)
            if c_in[i] != 1.0:
                torch._foreach_mul([state[0]], c_in[i + 1])

    return loop


def compiled(method: str, size: tuple[int, ...], n: int) -> Callable[[], None]:
    """torch.compile(fullgraph=True) of the step, its coefficients passed as one tensor."""
    rows, two, draws = coefficients(method, n)
    given, start = outputs(size), torch.zeros(size)
    K = rows.A.shape[1]
    table = torch.tensor(
        np.concatenate(
            [rows.A.reshape(n + 1, -1), rows.f, rows.S[:, :1, 0], rows.c_in[:, None]], axis=1
        ),
        dtype=torch.float32,
    )
    copies = bool(rows.c_in[0] != 1.0)
    torch.compiler.reset()

    @torch.compile(fullgraph=True, dynamic=False)
    def step(x: Tensor, y: Tensor, F: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        new = row[0] * x + row[K * K] * F
        kept = y
        if two:
            new = new + row[1] * y
            kept = row[K] * x + row[K * K + 1] * F
        if draws:
            new = new + row[K * K + K] * torch.randn_like(x)
        return new, kept, row[-1] * new if copies else new

    def loop() -> None:
        x, y = start, start
        for i in range(n):
            x, y, _ = step(x, y, given[i & 3], table[i + 1])

    return loop
