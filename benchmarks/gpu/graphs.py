# SPDX-License-Identifier: Apache-2.0
"""One CUDA graph over a whole loop, as torch offers it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from benchmarks.gpu.hand import Loop

__all__ = ["Graph"]

WARM_UP = 2


class Graph:
    """A loop, captured once on fixed buffers and replayed."""

    def __init__(self, loop: Loop) -> None:
        task = loop.task
        if task.device.type != "cuda":
            raise RuntimeError("a CPU has no CUDA graphs")
        self.scale = task.plan.init_scale
        self.x = task.noise()
        self.condition = {name: value.clone() for name, value in task.condition.items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                loop(self.x, self.condition)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.result = loop(self.x, self.condition)

    def __call__(self, x: Tensor | None, condition: Mapping[str, Tensor]) -> Tensor:
        if x is None:
            self.x.normal_(std=self.scale)
        else:
            self.x.copy_(x)
        for name, value in condition.items():
            self.condition[name].copy_(value)
        self.graph.replay()
        return self.result.clone()
