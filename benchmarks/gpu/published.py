# SPDX-License-Identifier: Apache-2.0
"""The loops as they are published, in our words: their precision, their tables, their waits.

    result = LOOPS[task.method](task, x, condition, draw)

x is the initial state or None, ``draw(like)`` unit noise.  EDM's loop has a float64 state and
makes its preconditioning anew at every call (Karras et al. 2022, arXiv 2206.00364, Algorithm 2,
without churn).  The others have the structure of a pipeline around a scheduler: timesteps on
the device, tables on the host that are indexed by them, which reads the device at every step, and
coefficients in tensors of one number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor

from benchmarks.gpu.task import Task, indices
from pydiffcore import process

__all__ = ["LOOPS"]

Draw = Callable[[Tensor], Tensor]
Condition = Mapping[str, Tensor]
SIGMA_MIN, SIGMA_MAX, RHO, SIGMA_DATA = 0.002, 80.0, 7.0, 0.5


def preconditioned(task: Task, x: Tensor, level: float, condition: Condition) -> Tensor:
    """EDM's D(x; σ), eq. 7, in float32 around the network's dtype."""
    x = x.float()
    sigma = torch.full((task.batch,), level, device=x.device).reshape(-1, *(1,) * (x.ndim - 1))
    c_skip = SIGMA_DATA**2 / (sigma**2 + SIGMA_DATA**2)
    c_out = sigma * SIGMA_DATA / (sigma**2 + SIGMA_DATA**2).sqrt()
    c_in = 1 / (SIGMA_DATA**2 + sigma**2).sqrt()
    c_noise = sigma.log() / 4
    F = task.network((c_in * x).to(task.io), c_noise.flatten(), **condition)
    return c_skip * x + c_out * F.float()


def heun(task: Task, x: Tensor | None, condition: Condition, draw: Draw) -> Tensor:
    """Algorithm 2 with S_churn = 0."""
    n, churn, s_noise = task.steps, 0.0, 1.0
    ramp = torch.arange(n, dtype=torch.float64) / (n - 1)
    low, high = SIGMA_MIN ** (1 / RHO), SIGMA_MAX ** (1 / RHO)
    sigmas = [*((high + ramp * (low - high)) ** RHO).tolist(), 0.0]
    if x is None:
        x = torch.randn(task.size, device=task.device) * sigmas[0]
    x = x.double()
    for sigma, sigma_next in pairwise(sigmas):
        raised = sigma * (1 + min(churn / n, math.sqrt(2) - 1))
        x_hat = x + math.sqrt(max(raised**2 - sigma**2, 0.0)) * s_noise * draw(x)
        d = (x_hat - preconditioned(task, x_hat, raised, condition).double()) / raised
        x = x_hat + (sigma_next - raised) * d
        if sigma_next > 0:
            D = preconditioned(task, x, sigma_next, condition).double()
            x = x_hat + (sigma_next - raised) * (0.5 * d + 0.5 * (x - D) / sigma_next)
    return x.float()


def abars() -> Tensor:
    """The cosine schedule's ᾱ of 100 steps, on the host."""
    return torch.cumprod(1 - torch.from_numpy(process.cosine_betas(100)), 0).float()


def start(task: Task, x: Tensor | None) -> Tensor:
    return torch.randn(task.size, device=task.device) if x is None else x


def call(task: Task, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
    """The network's output in float32."""
    return task.network(x.to(task.io), t.float().expand(task.batch), **condition).float()


def visited(task: Task) -> tuple[Tensor, int]:
    """Return timesteps on the device, and how far they lie apart."""
    t = indices(task.steps, 100)
    return torch.from_numpy(t).to(task.device), 100 // task.steps


def ddpm(task: Task, x: Tensor | None, condition: Condition, draw: Draw) -> Tensor:
    """Ho et al. 2020 (arXiv 2006.11239), eq. 7 and β̃, with clipped x0."""
    table, one, x = abars(), torch.tensor(1.0), start(task, x)
    timesteps, stride = visited(task)
    for t in timesteps:
        F = call(task, x, t, condition)
        abar = table[int(t)]  # waits for the device
        before = t - stride
        previous = table[int(before)] if before >= 0 else one
        beta = 1 - abar / previous
        x0 = ((x - (1 - abar) ** 0.5 * F) / abar**0.5).clamp(-1, 1)
        kept = (1 - beta) ** 0.5 * (1 - previous) / (1 - abar)
        x = previous**0.5 * beta / (1 - abar) * x0 + kept * x
        if t > 0:
            variance = ((1 - previous) / (1 - abar) * beta).clamp(min=1e-20)
            x = x + variance**0.5 * draw(x)
    return x


def ddim(task: Task, x: Tensor | None, condition: Condition, draw: Draw) -> Tensor:
    """Song et al. 2021 (arXiv 2010.02502), eq. 12 at η = 0, with clipped x0."""
    table, one, x = abars(), torch.tensor(1.0), start(task, x)
    timesteps, stride = visited(task)
    for t in timesteps:
        F = call(task, x, t, condition)
        abar = table[int(t)]  # waits for the device
        before = t - stride
        previous = table[int(before)] if before >= 0 else one
        x0 = ((x - (1 - abar) ** 0.5 * F) / abar**0.5).clamp(-1, 1)
        x = previous**0.5 * x0 + (1 - previous) ** 0.5 * F
    return x


def flow(task: Task, x: Tensor | None, condition: Condition, draw: Draw) -> Tensor:
    """Lipman et al. 2022 (arXiv 2210.02747): Euler's method on dx/dt = F from t = 1 to 0."""
    times, x, step = torch.linspace(1.0, 0.0, task.steps + 1), start(task, x), None
    timesteps = 1000 * times[:-1].to(task.device)
    for t in timesteps:
        step = int((timesteps == t).nonzero()[0]) if step is None else step + 1
        x = x + (times[step + 1] - times[step]) * call(task, x, t, condition)
    return x


def dpmpp_2m(task: Task, x: Tensor | None, condition: Condition, draw: Draw) -> Tensor:
    """Lu et al. 2022 (arXiv 2211.01095), Algorithm 2, to σ = 0; λ = log(alpha/sigma)."""
    table = torch.cumprod(1 - torch.from_numpy(process.linear_betas(1000)), 0)
    n, x = task.steps, start(task, x)
    where = (torch.arange(1000, 0, -1000 / n)[:n].round() - 1).long()
    level = ((1 - table[where]) / table[where]) ** 0.5
    level = torch.cat([level, torch.zeros(1)]).float()
    timesteps, last, step = where.to(task.device), None, None
    for t in timesteps:
        F = call(task, x, t, condition)
        step = int((timesteps == t).nonzero()[0]) if step is None else step + 1
        alpha, alpha_next = (1 / (1 + level[i] ** 2) ** 0.5 for i in (step, step + 1))
        sigma, sigma_next = level[step] * alpha, level[step + 1] * alpha_next
        D = (x - sigma * F) / alpha
        h = level[step].log() - level[step + 1].log()  # ∞ at the end, where e⁻ʰ is 0
        x = sigma_next / sigma * x - alpha_next * torch.expm1(-h) * D
        if last is not None and step + 1 < n:
            r = (level[step - 1].log() - level[step].log()) / h
            x = x - 0.5 * alpha_next * torch.expm1(-h) * (D - last) / r
        last = D
    return x


LOOPS = {"heun": heun, "ddpm": ddpm, "ddim": ddim, "flow": flow, "dpmpp_2m": dpmpp_2m}
