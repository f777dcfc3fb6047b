# SPDX-License-Identifier: Apache-2.0
"""Bandwidth of the fused row: what each type of row moves per second, beside a plain copy.

    share = (bytes of the row / its time) / (bytes of the copy / its time)

The bytes are the plan's own count: registers in and out, network output, next input.  The copy has
the same working set and runs in the same rounds; a second share is that of a copy far larger than
any cache.  Small rows are bound by their launch from Python, and their share says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.clock import Clock, interleaved, quartiles
from benchmarks.gpu.contenders import TIME_IS_UP, said
from benchmarks.gpu.row import Kind, Row, kinds
from benchmarks.gpu.scale import Deadline, Scale

__all__ = ["measure"]

LARGEST_BUFFER = 2**32  # bytes of either side of a copy: beyond it nothing changes


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
    """Yield the figures of each type of row and size, or why they are not there."""
    clock = Clock(device)
    until = deadline.spent + deadline.share("rows")
    large = Copy(scale.copied, scale.copied, device)
    spent = interleaved({"copy": large.run}, clock, rounds=scale.rounds, seconds=scale.seconds)
    speed = quartiles(large.bytes / taken.device for taken in spent["copy"])
    yield {"kind": "large copy", "bytes": large.bytes, "bytes_per_second": speed}
    del large
    for size in scale.elements:
        for kind in kinds(scale):
            at = {**kind.about(), "size": size}
            if deadline.spent > until:
                yield {**at, "skipped": TIME_IS_UP}
                continue
            try:
                yield {**at, **one(kind, size, device, scale, clock, speed["median"])}
            except Exception as error:  # one type of row must not cost the others
                yield {**at, "error": said(error)}


def no_room(kind: Kind, size: int, device: torch.device) -> str:
    """Return why a size does not fit into the device's memory, or nothing."""
    if device.type != "cuda":
        return ""
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    plan, state, io = kind.plan(8), kind.state.itemsize, kind.io.itemsize
    tensors = size * (state * plan.registers + 3 * io)
    per_row = size * float(plan.bytes_per_row(state, io).max())
    need = tensors + 2 * min(per_row / 2, LARGEST_BUFFER)
    # The check at the end makes copies and masks of the state.
    need += 2 * state * size
    return "" if need < 0.9 * free else f"needs {need / 2**30:.0f} GiB of {free / 2**30:.0f}"


def one(
    kind: Kind, size: int, device: torch.device, scale: Scale, clock: Clock, large: float
) -> dict[str, Any]:
    """Return what one row does, and the copy beside it; ``large`` is the large copy's speed."""
    reason = no_room(kind, size, device)
    if reason:
        return {"skipped": reason}
    row = Row(kind, size, device, int(np.clip(2 * 10**9 // size, 8, scale.launches)))
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
    speed = quartiles(row.bytes / r.device for r, _ in pairs)
    return {
        "rows": n,
        "elements": row.elements,
        "state_bytes": row.elements * kind.state.itemsize,
        "registers": row.plan.registers,
        "stochastic": row.plan.is_stochastic,
        "guided": kind.guided,
        "bytes_per_element": row.bytes / n / row.elements,
        "seconds_per_row": quartiles(r.device / n for r, _ in pairs),
        "bytes_per_second": speed,
        "copy_bytes_per_second": quartiles(copy.bytes / c.device for _, c in pairs),
        "share_of_copy": quartiles(
            (row.bytes / r.device) / (copy.bytes / c.device) for r, c in pairs
        ),
        "share_of_large_copy": speed["median"] / large,
        "repeats": len(pairs),
    }
