# SPDX-License-Identifier: Apache-2.0
"""The same loops as an expert would write them: float32 state, coefficients on the device, no wait.

A call of the network is followed by ``step(x, kept, F, z, c) -> (x, kept, input)``: c is its row of
a table on the device, ``kept`` what a later step reads, z unit noise or None where the step draws
its own, ``input`` what the network sees next.  The last of c is c_in of the next call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.task import Task

__all__ = ["Loop"]

WIDTH = 8  # of a row of coefficients: 32 bytes, for compiled code copies what lies unaligned
Kept = tuple[Tensor, ...]
Stepped = tuple[Tensor, Kept, Tensor]


def predict(x: Tensor, kept: Kept, F: Tensor, z: Tensor | None, c: Any) -> Stepped:
    """Heun's first half: Euler to the next level, with x and d kept."""
    D = c[0] * x + c[1] * F.float()
    d = (x - D) * c[2]
    x_next = x + c[3] * d
    return x_next, (x, d), (c[-1] * x_next).to(F.dtype)


def correct(x: Tensor, kept: Kept, F: Tensor, z: Tensor | None, c: Any) -> Stepped:
    """Heun's second half: the mean of both slopes from where the step began."""
    D = c[0] * x + c[1] * F.float()
    x = kept[0] + c[3] * (kept[1] + (x - D) * c[2])
    return x, (), (c[-1] * x).to(F.dtype)


def ancestral(x: Tensor, kept: Kept, F: Tensor, z: Tensor | None, c: Any) -> Stepped:
    """DDPM: the posterior's mean at clipped x0, and noise."""
    x0 = (c[0] * x + c[1] * F.float()).clamp(-1, 1)
    z = torch.randn_like(x) if z is None else z
    x = c[2] * x0 + c[3] * x + c[4] * z
    return x, (), (c[-1] * x).to(F.dtype)


def implicit(x: Tensor, kept: Kept, F: Tensor, z: Tensor | None, c: Any) -> Stepped:
    """DDIM at η = 0 with clipped x0, and DDPM's last step, which draws nothing."""
    x0 = (c[0] * x + c[1] * F.float()).clamp(-1, 1)
    x = c[2] * x0 + c[3] * F.float()
    return x, (), (c[-1] * x).to(F.dtype)


def straight(x: Tensor, kept: Kept, F: Tensor, z: Tensor | None, c: Any) -> Stepped:
    """Euler's step along a flow's velocity."""
    x = x + c[2] * F.float()
    return x, (), (c[-1] * x).to(F.dtype)


def first(x: Tensor, kept: Kept, F: Tensor, z: Tensor | None, c: Any) -> Stepped:
    """A first-order step of DPM-Solver++."""
    D = c[0] * x + c[1] * F.float()
    x = c[2] * x + c[3] * D
    return x, (D,), (c[-1] * x).to(F.dtype)


def second(x: Tensor, kept: Kept, F: Tensor, z: Tensor | None, c: Any) -> Stepped:
    """A second-order step of DPM-Solver++(2M)."""
    D = c[0] * x + c[1] * F.float()
    x = c[2] * x + c[3] * D + c[4] * kept[0]
    return x, (D,), (c[-1] * x).to(F.dtype)


Rows = list[tuple[Callable[..., Stepped], list[float]]]


def of_heun(task: Task) -> Rows:
    sigma = [*np.unique(task.plan.sigma)[::-1].tolist(), 0.0]
    rows: Rows = []
    for s, t in pairwise(sigma):
        rows.append((predict, [1 / s, t - s]))
        if t > 0:
            rows.append((correct, [1 / t, (t - s) / 2]))
    return rows


def of_ddpm(task: Task) -> Rows:
    rows: Rows = []
    for s, t, _, alpha, alpha_next in steps(task):
        keep = (t / s) ** 2
        if t == 0:
            rows.append((implicit, [alpha_next, 0.0]))
            continue
        deviation = t * float(np.sqrt((s - t) * (s + t))) / s
        c = [alpha_next * (1 - keep), alpha_next / alpha * keep, alpha_next * deviation]
        rows.append((ancestral, c))
    return rows


def of_ddim(task: Task) -> Rows:
    return [(implicit, [a_next, a_next * t]) for _, t, _, _, a_next in steps(task)]


def of_flow(task: Task) -> Rows:
    times = [level / (1 + level) for level in [*task.plan.sigma.tolist(), 0.0]]
    return [(straight, [t_next - t]) for t, t_next in pairwise(times)]


def of_dpmpp_2m(task: Task) -> Rows:
    rows: Rows = []
    for s, t, before, alpha, alpha_next in steps(task):
        move, change = alpha_next / alpha * t / s, alpha_next * (1 - t / s)
        if before is None or t == 0:
            rows.append((first, [move, change]))
            continue
        twice_r = 2 * np.log(before / s) / np.log(s / t)
        rows.append((second, [move, change * (1 + 1 / twice_r), -change / twice_r]))
    return rows


def steps(task: Task) -> list[tuple[float, float, float | None, float, float]]:
    """Return (σ, σ_next, σ before, alpha, alpha_next) of each step."""
    sigma = [*task.plan.sigma.tolist(), 0.0]
    alpha = task.plan.scale.tolist()
    return [
        (sigma[i], sigma[i + 1], sigma[i - 1] if i else None, alpha[i], alpha[i + 1])
        for i in range(len(sigma) - 1)
    ]


ROWS = {
    "heun": of_heun, "ddpm": of_ddpm, "ddim": of_ddim, "flow": of_flow, "dpmpp_2m": of_dpmpp_2m,
}  # fmt: skip


class Loop:
    """The loop over a task's rows.

    Args:
        task: what to run.
        network: in the place of the task's, for instance compiled.
        compiled: whether each step is compiled.
    """

    def __init__(
        self, task: Task, network: Callable[..., Tensor] | None = None, *, compiled: bool = False
    ) -> None:
        self.task, self.network = task, task.network if network is None else network
        plan, rows = task.plan, ROWS[task.method](task)
        c_in = np.append(plan.c_in / plan.scale[:-1], 1.0)
        skip = plan.c_skip / plan.scale[:-1]
        table = [
            [skip[i], plan.c_out[i], *c, *(0.0,) * (WIDTH - 3 - len(c)), c_in[i + 1]]
            for i, (_, c) in enumerate(rows)
        ]
        on_device = torch.tensor(table, dtype=torch.float32, device=task.device)
        fast = {step: compile_step(step, task) for step, _ in rows} if compiled else {}
        self.steps = [fast.get(step, step) for step, _ in rows]
        # Indexing a tensor costs the host a microsecond, unless it is compiled away.
        self.c = list(on_device.unbind()) if compiled else [row.unbind() for row in on_device]
        self.first = torch.tensor(float(c_in[0]), device=task.device)
        self.labels = task.labels()

    def __call__(
        self,
        x: Tensor | None,
        condition: Mapping[str, Tensor],
        draw: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        x = self.task.noise() if x is None else x
        kept: Kept = ()
        input = (self.first * x).to(self.task.io)
        for step, c, label in zip(self.steps, self.c, self.labels, strict=True):
            F = self.network(input, label, **condition)
            z = draw(x) if draw is not None and step is ancestral else None
            x, kept, input = step(x, kept, F, z, c)
        return x


def compile_step(step: Callable[..., Stepped], task: Task) -> Callable[..., Stepped]:
    return torch.compile(step, dynamic=False, backend=task.scale.backend)
