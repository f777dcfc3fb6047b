# SPDX-License-Identifier: Apache-2.0
"""Bandwidth of the fused row: what each type of row moves per second, beside a plain copy.

    share = (bytes of the row / its time) / (bytes of the copy / its time)

The bytes are the plan's own count: registers in and out, network output, next input.  The copy has
the same working set and runs in the same rounds; a second share is that of a copy far larger than
any cache.  Small rows are bound by their launch from Python, and their share says so.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

import pydiffcore
from benchmarks.gpu.clock import Clock, interleaved, quartiles
from benchmarks.gpu.scale import Deadline, Scale
from pydiffcore import levels, prediction, samplers

__all__ = ["KINDS", "measure"]

SAMPLES = 8
LARGEST_BUFFER = 2**32  # bytes of either side of a copy: beyond it nothing changes
SHARE_OF_TIME = 0.25


class Kind(NamedTuple):
    """A type of row: its sampler, and whether two network outputs are combined."""

    sampler: str
    options: dict[str, Any] = {}  # noqa: RUF012
    guided: bool = False


KINDS = {
    "euler": Kind("euler"),
    "dpmpp_2m": Kind("dpmpp_2m"),
    "heun": Kind("heun"),
    "ancestral": Kind("ancestral"),
    "dpmpp_2m_sde": Kind("dpmpp_2m_sde"),
    "unipc order 3": Kind("unipc", {"order": 3}),
    "guided euler": Kind("euler", guided=True),
}


@functools.lru_cache(maxsize=64)
def plan_of(name: str, launches: int) -> pydiffcore.Plan:
    """Return a plan of about so many calls, whose input is not the state itself."""
    kind = KINDS[name]
    n = launches if kind.sampler != "heun" else launches // 2 + 1
    sampler = getattr(samplers, kind.sampler)
    return pydiffcore.trace(sampler, levels.karras(n), prediction.edm(), **kind.options)


class Row:
    """A runner at some size, fed with the same output at every call."""

    def __init__(self, name: str, elements: int, io: torch.dtype, device: torch.device,
                 launches: int) -> None:  # fmt: skip
        self.plan, guided = plan_of(name, launches), KINDS[name].guided
        shape, n = (elements // SAMPLES,), self.plan.nfe
        self.runner = pydiffcore.Runner(
            self.plan, shape, range(SAMPLES), io_dtype=io, device=device, backend="native",
            guidance=np.full(n, 3.0) if guided else None,
        )  # fmt: skip
        self.F = torch.randn((SAMPLES, *shape), device=device, dtype=io)
        self.other = torch.randn_like(self.F) if guided else None
        width = io.itemsize
        per_row = self.plan.bytes_per_row(4, width)[1:] + (width if guided else 0)
        self.bytes = float(per_row.sum()) * SAMPLES * shape[0]  # of all rows but the first

    def start(self) -> None:
        """Draw the initial state."""
        self.runner.start()

    def advance(self) -> None:
        """Run all rows but the first."""
        advance, F, other = self.runner.advance, self.F, self.other
        for _ in range(self.plan.nfe):
            advance(F, other)


class Copy:
    """``dst.copy_(src)`` again and again."""

    def __init__(self, size: float, least: int, device: torch.device) -> None:
        each = max(min(int(size / 2), LARGEST_BUFFER) // 4, 1)
        self.source = torch.ones(each, device=device)
        self.target = torch.empty_like(self.source)
        self.times = max(math.ceil(least / (8 * each)), 1)
        self.bytes = 8.0 * each * self.times

    def run(self) -> None:
        for _ in range(self.times):
            self.target.copy_(self.source)


def measure(scale: Scale, device: torch.device, deadline: Deadline) -> Iterator[dict[str, Any]]:
    """Yield the figures of each type of row, dtype and size, or why they are not there."""
    clock = Clock(device)
    allowed = deadline.spent + SHARE_OF_TIME * deadline.seconds
    large = Copy(scale.copied, scale.copied, device)
    spent = interleaved({"copy": large.run}, clock, rounds=scale.rounds, seconds=scale.seconds)
    speed = quartiles(large.bytes / taken.device for taken in spent["copy"])
    yield {"kind": "large copy", "bytes": large.bytes, "bytes_per_second": speed}
    del large
    for elements in scale.elements:
        for name in KINDS:
            for io in scale.dtypes:
                at = {
                    "kind": name, "io": str(io).removeprefix("torch."),
                    "elements": elements // SAMPLES * SAMPLES,
                }  # fmt: skip
                launches = int(np.clip(2 * 10**9 // elements, 8, scale.launches))
                reason = no_room(name, elements, io, device)
                if deadline.spent > allowed:
                    reason = "the time for rows is up"
                if reason:
                    yield {**at, "skipped": reason}
                    continue
                figures = one(name, elements, io, device, launches, scale, clock)
                yield {**at, **figures, "share_of_large_copy": figures["bytes_per_second"]
                       ["median"] / speed["median"]}  # fmt: skip


def no_room(name: str, elements: int, io: torch.dtype, device: torch.device) -> str:
    """Return why a size does not fit into the device's memory, or nothing."""
    if device.type != "cuda":
        return ""
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    plan = plan_of(name, 8)
    tensors = elements * (4 * plan.registers + 3 * io.itemsize)
    per_row = elements * float(plan.bytes_per_row(4, io.itemsize).max())
    need = tensors + 2 * min(per_row / 2, LARGEST_BUFFER)
    # The check at the end makes copies and masks of the state.
    need += 8 * elements
    return "" if need < 0.9 * free else f"needs {need / 2**30:.0f} GiB of {free / 2**30:.0f}"


def one(name: str, elements: int, io: torch.dtype, device: torch.device, launches: int,
        scale: Scale, clock: Clock) -> dict[str, Any]:  # fmt: skip
    """Return what one row does, and the copy beside it."""
    row = Row(name, elements, io, device, launches)
    n = row.plan.nfe
    copy = Copy(row.bytes / n, scale.copied, device)
    taken = interleaved(
        {"row": row.advance, "copy": copy.run},
        clock,
        rounds=scale.rounds,
        seconds=min(scale.seconds, 0.3),
        before={"row": row.start},
    )
    row.runner.check()
    pairs = list(zip(taken["row"], taken["copy"], strict=True))
    return {
        "rows": n,
        "registers": row.plan.registers,
        "stochastic": row.plan.is_stochastic,
        "guided": KINDS[name].guided,
        "bytes_per_element": row.bytes / n / (elements // SAMPLES * SAMPLES),
        "seconds_per_row": quartiles(r.device / n for r, _ in pairs),
        "bytes_per_second": quartiles(row.bytes / r.device for r, _ in pairs),
        "copy_bytes_per_second": quartiles(copy.bytes / c.device for _, c in pairs),
        "share_of_copy": quartiles(
            (row.bytes / r.device) / (copy.bytes / c.device) for r, c in pairs
        ),
        "repeats": len(pairs),
    }
