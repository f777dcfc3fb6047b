# SPDX-License-Identifier: Apache-2.0
"""The whole loop, network and rows, as one CUDA graph that a call replays."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.condition import kind
from pydiffcore.denoiser import Denoiser
from pydiffcore.given import Model, matching
from pydiffcore.loop import Loop
from pydiffcore.ops.formats import channels_of
from pydiffcore.ops.noise import checked_seeds, checked_shape
from pydiffcore.ops.renewable import layout
from pydiffcore.plan import Plan

__all__ = ["Captured", "capture"]


def capture(
    denoiser: Model,
    plan: Plan,
    shape: Sequence[int],
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    *,
    io_dtype: torch.dtype | None = None,
    graphs: int = 4,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Captured:
    """Return a function of seeds that runs a denoiser's whole loop as one CUDA graph.

    ::

        draw = pydiffcore.capture(denoiser, plan, (3, 32, 32), device="cuda")
        images = draw(seeds)                                   # records the graph
        images = draw(other_seeds, condition={"label": y})     # replays it
        images = draw(seeds, plan=another_plan_of_equal_length)

    Levels, coefficients, seeds, guidance weights and the condition lie in memory that a call
    writes and the graph reads, so that none of them needs it recorded anew.  The values are those
    of :func:`pydiffcore.sample`.  On a device without graphs, and where something cannot be
    recorded, the same loop runs call by call; ``kind`` and ``reason`` say which and why.

    Args:
        denoiser, plan: as for :func:`pydiffcore.sample`.
        shape: shape of one sample.
        dtype: of the state, float32 or float64.
        device: of state and network.
        io_dtype: of the network's input and output, ``dtype`` where None.
        graphs: how many graphs are kept; one more drops the one that was used longest ago.  There
            is one for each batch size, number of calls and registers, kind of condition, and set
            of calls that are guided.
        memory_format: of the network's input, as for :func:`pydiffcore.sample`.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value.

    """
    if graphs < 1:
        raise ValueError(f"graphs is {graphs}, expected at least 1")
    options = {
        "dtype": dtype,
        "device": torch.device(device),
        "io_dtype": io_dtype,
        "memory_format": memory_format,
    }
    shape = checked_shape(shape)
    channels_of(memory_format, (1, *shape))
    return Captured(matching(denoiser, plan), plan, shape, graphs, options)


class Captured:
    """A denoiser's whole loop; see :func:`capture`.  For one thread at a time.

    Attributes:
        kind: of the last call, "graph" or "eager"; "" before the first.
        reason: why the last call ran "eager", or "".

    """

    def __init__(
        self,
        model: Denoiser,
        plan: Plan,
        shape: Sequence[int],
        graphs: int,
        options: Mapping[str, Any],
    ) -> None:
        self.model, self.plan, self.shape = model, plan, tuple(shape)
        self.device, self.limit = options["device"], graphs
        self._options = dict(options)
        self._loops: OrderedDict[Hashable, Loop] = OrderedDict()
        self.kind, self.reason = "", ""

    def __call__(
        self,
        seeds: Any,
        *,
        plan: Plan | None = None,
        condition: Mapping[str, Any] | None = None,
        weight: float | Tensor | None = None,
        x: Tensor | None = None,
        check: bool = True,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Draw one sample per seed: [B, *shape], a new tensor.

        Args:
            seeds: B integers in [0, 2^64).
            plan: another plan for the same prediction, or None for the one that was captured.
            condition: keyword arguments of the network that replace those of the denoiser.
            weight: guidance weight w, a number or one per sample, in place of the denoiser's.
            x: initial states [B, *shape], as for :func:`pydiffcore.sample`.
            check: wait for the result and raise where x holds, or the network returned, a value
                that is not finite; False looks for neither and returns at once, but for a graph
                that is dropped, and a weight on a device, which the host reads.
            on_step: called with (calls done, all); it runs on the host, so the loop is eager.

        Raises:
            TypeError, ValueError: an argument does not fit the denoiser or its network.
            FloatingPointError: the network returned a value that is not finite.

        """
        seeds = checked_seeds(seeds)
        if not seeds:
            raise ValueError("seeds is empty, expected one seed per sample")
        plan = self.plan if plan is None else plan
        model = self._given(matching(self.model, plan), condition, weight)
        model.check(len(seeds), len(seeds))
        weights = _weights(model, plan, len(seeds))
        loop = self._loop(model, plan, seeds, weights)
        with torch.no_grad():
            loop.load(model, plan, seeds, weights, x, check)
            loop.run(on_step)
            self.kind, self.reason = loop.ran, loop.why
            if check:
                loop.runner.check()
            return loop.result()

    def _given(
        self, model: Denoiser, condition: Mapping[str, Any] | None, weight: float | Tensor | None
    ) -> Denoiser:
        """Return the denoiser with what this call replaces."""
        unknown = sorted(set(condition or {}) - set(model.condition))
        if unknown:
            raise ValueError(
                f"condition has {unknown}, expected names that the denoiser's has: "
                f"{sorted(model.condition)}"
            )
        if weight is None:
            guidance = model.guidance
        elif model.guidance is None:
            raise ValueError("weight was given, but the denoiser has no guidance")
        else:
            guidance = replace(model.guidance, weight=weight)
        return replace(model, condition={**model.condition, **(condition or {})}, guidance=guidance)

    def _loop(
        self, model: Denoiser, plan: Plan, seeds: list[int], weights: NDArray[np.float64] | None
    ) -> Loop:
        """Return the loop of this kind, made now or before; drop the one used longest ago."""
        guided = b"" if weights is None else (weights != 1).any(axis=1).tobytes()
        key = (len(seeds), layout(plan), guided, _kind(model))
        if key not in self._loops:
            while len(self._loops) >= self.limit:
                oldest = next(iter(self._loops))
                self._loops.pop(oldest).finish()
            self._loops[key] = Loop(model, plan, self.shape, seeds, weights, self._options)
        self._loops.move_to_end(key)
        return self._loops[key]

    @property
    def graphs(self) -> int:
        """Number of graphs that are kept."""
        return sum(loop.graph is not None for loop in self._loops.values())

    @property
    def memory(self) -> int:
        """Bytes that the kept loops hold: state, input, tables, and what graphs reserved."""
        return sum(loop.memory for loop in self._loops.values())


def _weights(model: Denoiser, plan: Plan, samples: int) -> NDArray[np.float64] | None:
    """Return w of every call and sample, [n, B]: one shape, so that one graph serves all."""
    if model.guidance is None:
        return None
    w = model.guidance.weights(plan.sigma, samples)
    return np.array(np.broadcast_to(w.reshape(plan.nfe, -1), (plan.nfe, samples)))


def _kind(model: Denoiser) -> Hashable:
    """Return what a graph depends on: the form of the conditions, and all that is no tensor."""
    free = {} if model.guidance is None else model.guidance.unconditional
    return kind(model.condition), kind(free)
