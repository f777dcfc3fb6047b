# SPDX-License-Identifier: Apache-2.0
"""Types of rows, and a runner that does one of them again and again."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

import pydiffcore
from benchmarks.gpu.scale import Scale
from pydiffcore import levels, prediction, samplers

__all__ = ["SAMPLERS", "Kind", "Row", "kinds"]

SAMPLES = 8
PARTS = 10  # of a sample, where each part has a row of its own
CHANNELS, HEIGHT = 4, 2  # of a sample whose channels are last in memory
PLAIN, LAST, BY_PARTS = "", "channels last", "[B, T]"


@dataclass(frozen=True)
class Kind:
    """A type of row.

    Attributes:
        name: of the sampler, with what is special about it.
        sampler: of the plan.
        options: of the sampler.
        guided: whether two network outputs are combined.
        layout: "", "channels last" of the network's input and output, or "[B, T]" rows.
        state, io: dtypes of the registers and of the network.
    """

    name: str
    sampler: str
    options: tuple[tuple[str, Any], ...] = ()
    guided: bool = False
    layout: str = PLAIN
    state: torch.dtype = torch.float32
    io: torch.dtype = torch.float32

    def about(self) -> dict[str, Any]:
        """Return what a figure says about its row."""
        names = {"state": self.state, "io": self.io}
        of = {name: str(dtype).removeprefix("torch.") for name, dtype in names.items()}
        return {"kind": " ".join(filter(None, (self.name, self.layout))), **of}

    def plan(self, launches: int) -> pydiffcore.Plan:
        """Return a plan of about so many calls, whose input is not the state itself."""
        return plan_of(self.sampler, self.options, launches)

    def shape(self, size: int) -> tuple[int, ...]:
        """Return the shape of one of the samples that have about so many elements together."""
        each = size // SAMPLES
        if self.layout == LAST:
            return (CHANNELS, HEIGHT, each // (CHANNELS * HEIGHT))
        return (PARTS, each // PARTS) if self.layout == BY_PARTS else (each,)


@functools.lru_cache(maxsize=64)
def plan_of(sampler: str, options: tuple[tuple[str, Any], ...], launches: int) -> pydiffcore.Plan:
    n = launches if sampler != "heun" else launches // 2 + 1
    function = getattr(samplers, sampler)
    return pydiffcore.trace(function, levels.karras(n), prediction.edm(), **dict(options))


SAMPLERS = (
    Kind("euler", "euler"),
    Kind("dpmpp_2m", "dpmpp_2m"),
    Kind("heun", "heun"),
    Kind("ancestral", "ancestral"),
    Kind("dpmpp_2m_sde", "dpmpp_2m_sde"),
    Kind("unipc order 3", "unipc", (("order", 3),)),
    Kind("guided euler", "euler", guided=True),
)
LAYOUTS = tuple(
    replace(kind, layout=layout)
    for layout in (LAST, BY_PARTS)
    for kind in SAMPLERS
    if kind.name in ("euler", "ancestral")
)


def kinds(scale: Scale) -> Iterator[Kind]:
    """Yield every type of row: those with a state of float32 in each of the network's dtypes."""
    for kind in (*SAMPLERS, *LAYOUTS):
        for io in scale.dtypes:
            yield replace(kind, io=io)
    for kind in SAMPLERS:
        for io in (torch.float64, torch.bfloat16):
            yield replace(kind, state=torch.float64, io=io)


class Row:
    """A runner at some size, fed with the same output at every call."""

    def __init__(self, kind: Kind, size: int, device: torch.device, launches: int) -> None:
        self.plan, shape = kind.plan(launches), kind.shape(size)
        last = kind.layout == LAST
        order = torch.channels_last if last else torch.contiguous_format
        self.runner = pydiffcore.Runner(
            self.plan, shape, range(SAMPLES), dtype=kind.state, io_dtype=kind.io, device=device,
            backend="native", memory_format=order,
            guidance=np.full(self.plan.nfe, 3.0) if kind.guided else None,
        )  # fmt: skip
        F = torch.randn((SAMPLES, *shape), device=device, dtype=kind.io)
        self.F = F.contiguous(memory_format=order)
        self.other = torch.randn_like(self.F) if kind.guided else None
        self.elements, state, io = F.numel(), kind.state.itemsize, kind.io.itemsize
        per_row = self.plan.bytes_per_row(state, io)[1:] + (io if kind.guided else 0)
        self.bytes = float(per_row.sum()) * self.elements  # of all rows but the first
        self.parts = np.empty((SAMPLES, PARTS), np.int32) if kind.layout == BY_PARTS else None

    def start(self) -> None:
        """Draw the initial state."""
        self.runner.start()

    def advance(self) -> None:
        """Run all rows but the first."""
        advance, F, other = self.runner.advance, self.F, self.other
        if self.parts is not None:
            return self.advance_parts(self.parts)
        for _ in range(self.plan.nfe):
            advance(F, other)

    def advance_parts(self, rows: np.ndarray) -> None:
        """Do the same, where each part of a sample is told its row."""
        for row in range(1, self.plan.nfe + 1):
            rows.fill(row)
            self.runner.advance_rows(self.F, rows)
