# SPDX-License-Identifier: Apache-2.0
"""pydiffcore's own loops: ``pydiffcore.sample``, and one captured by ``pydiffcore.capture``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

import pydiffcore
from benchmarks.gpu.task import Task

__all__ = ["Captured", "Eager"]


class Seeds:
    """New seeds for every run."""

    def __init__(self, batch: int) -> None:
        self.batch, self.next = batch, 0

    def __call__(self) -> range:
        self.next += self.batch
        return range(self.next - self.batch, self.next)


class Eager:
    """One plan for all runs, a call of ``pydiffcore.sample`` each."""

    def __init__(self, task: Task) -> None:
        self.task, self.seeds = task, Seeds(task.batch)

    def __call__(
        self,
        x: Tensor | None,
        condition: Mapping[str, Tensor],
        noise: Tensor | None = None,
        seeds: range | None = None,
    ) -> Tensor:
        task = self.task
        return pydiffcore.sample(
            pydiffcore.Denoiser(task.network, task.prediction, condition),
            task.plan,
            shape=task.shape,
            seeds=seeds or self.seeds(),
            x=x,
            noise=noise,
            io_dtype=task.io,
            device=task.device,
        )


class Captured:
    """Network and rows in one graph, replayed with new seeds and conditions."""

    def __init__(self, task: Task, network: Callable[..., Tensor] | None = None) -> None:
        self.seeds = Seeds(task.batch)
        network = task.network if network is None else network
        self.loop = pydiffcore.capture(
            pydiffcore.Denoiser(network, task.prediction, task.condition),
            task.plan,
            shape=task.shape,
            dtype=torch.float32,
            io_dtype=task.io,
            device=task.device,
        )

    def __call__(
        self, x: Tensor | None, condition: Mapping[str, Tensor], seeds: range | None = None
    ) -> Tensor:
        return self.loop(seeds or self.seeds(), condition=dict(condition) or None, x=x)

    def about(self) -> dict[str, Any]:
        """Return whether it is a graph, why not, and the bytes it holds."""
        return {name: getattr(self.loop, name, None) for name in ("kind", "reason", "memory")}
