# SPDX-License-Identifier: Apache-2.0
"""The loop of one batch size in memory of its own, recorded as a graph where that can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.condition import copied, tensors
from pydiffcore.denoiser import Denoiser
from pydiffcore.ops import graph
from pydiffcore.ops.renewable import RenewableRunner
from pydiffcore.plan import Plan
from pydiffcore.sample import calls, labels_of

__all__ = ["Loop"]


class Loop:
    """The loop of one batch size in memory of its own, recorded where that can be.

    Attributes:
        runner: the registers and rows.
        graph: what was recorded, or None.
        ran, why: of the last run, "graph" or "eager", and why eager.

    """

    def __init__(
        self,
        model: Denoiser,
        plan: Plan,
        shape: tuple[int, ...],
        seeds: list[int],
        weights: NDArray[np.float64] | None,
        options: Mapping[str, Any],
    ) -> None:
        self.runner = RenewableRunner(plan, shape, seeds, guidance=weights, **options)
        with torch.inference_mode(False):  # later runs write them, under it or not
            self.labels = labels_of(self.runner)
            self.model = _static(model, self.runner.device)
        self.graph: graph.Graph | None = None
        self.ran, self.why = "", ""
        self._cannot = self._reason()
        self._done: torch.cuda.Event | None = None

    def _reason(self) -> str:
        """Why nothing is recorded here, as far as the device and the plan tell."""
        if self.runner.device.type != "cuda":
            return f"the device is {self.runner.device.type}: graphs are CUDA's"
        if not self.runner.native:
            return "the native kernels do not run this plan"
        return ""

    def load(
        self,
        model: Denoiser,
        plan: Plan,
        seeds: list[int],
        weights: NDArray[np.float64] | None,
        x: Tensor | None,
        check: bool,
    ) -> None:
        """Write what this run reads: levels, table, seeds, weights, condition, initial state.

        ``check`` refuses an initial state that is not finite, for which it waits.
        """
        runner = self.runner
        if self._done is not None:  # a run on another stream may still read what this one writes
            torch.cuda.current_stream(runner.device).wait_event(self._done)
        if plan != runner.plan:
            runner.renew(seeds, plan, weights)
            self.labels.copy_(labels_of(runner))
        else:
            same = weights is None or np.array_equal(weights, np.asarray(runner.guidance))
            runner.renew(seeds, guidance=None if same else weights)
        own = _tensors(self.model)
        for name, tensor in _tensors(model).items():
            _copy(tensor, own[name])
        self._x = runner.load(x, check)

    def run(self, on_step: Callable[[int, int], None] | None) -> None:
        """Run the loop on what was loaded."""
        self.why = self._cannot if on_step is None else "on_step runs on the host between calls"
        if not self.why and self.graph is None:
            self._record()
        self.ran = "eager" if self.why else "graph"
        if self.why:
            return self._eager(on_step)
        assert self.graph is not None
        self.graph.replay()

    def _eager(self, on_step: Callable[[int, int], None] | None = None) -> None:
        state = self.runner.begin() if self.runner.native else self.runner.start(self._x)
        total = self.runner.plan.nfe
        for step in calls(self.model, self.runner, state, self.labels):
            if on_step is not None:
                on_step(step.call + 1, total)

    def result(self) -> Tensor:
        """Return a copy of the result, in memory of its own."""
        copy = self.runner.query.clone()
        if self.runner.device.type == "cuda":
            self._done = torch.cuda.current_stream(self.runner.device).record_event()
        return copy

    def _once(self) -> None:
        """Run row 0, one network call (guided where any is) and a row."""
        steps = calls(self.model, self.runner, self.runner.begin(), self.labels)
        weights = self.runner.guidance
        guided = 0 if weights is None else int(np.argmax((weights != 1).any(axis=1)))
        for step in steps:
            if step.call > guided:
                break

    def _record(self) -> None:
        """Record the loop, or note why it cannot be; recording computes nothing."""
        kept = self.runner.result.clone() if self._x is not None else None
        try:
            self.graph = graph.record(self._eager, self._once, self.runner.device)
        except graph.CaptureError as error:
            self._cannot = self.why = f"the network: {error}"
        if kept is not None:  # the warm-up ran on it
            self.runner.result.copy_(kept)

    @property
    def memory(self) -> int:
        """Bytes of state, input, tables, condition, and what the graph reserved."""
        labels = self.labels.untyped_storage().nbytes()
        held = sum(tensor.nbytes for tensor in _tensors(self.model).values())
        graphs = 0 if self.graph is None else self.graph.memory
        return self.runner.memory + labels + held + graphs

    def finish(self) -> None:
        """Wait for the last run, on whichever stream: it reads what goes when the loop does."""
        if self._done is not None:
            self._done.synchronize()


def _tensors(model: Denoiser) -> dict[str, Tensor]:
    """Return the tensors that the network is conditioned on, by their places."""
    free = {} if model.guidance is None else model.guidance.unconditional
    return tensors({"conditional": model.condition, "unconditional": free})


def _static(model: Denoiser, device: torch.device) -> Denoiser:
    """Return the denoiser with a condition in memory of its own, which every run writes."""
    guidance = model.guidance
    if guidance is not None:
        guidance = replace(guidance, unconditional=copied(guidance.unconditional, device))
    return replace(model, condition=copied(model.condition, device), guidance=guidance)


def _copy(source: Tensor, target: Tensor) -> None:
    """Write a condition without waiting for it."""
    if source.device.type == "cpu" and target.device.type == "cuda":
        source = source.pin_memory()
    target.copy_(source.detach(), non_blocking=True)
