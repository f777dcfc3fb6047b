# SPDX-License-Identifier: Apache-2.0
"""Different samples, or parts of a sample, at different rows of one plan.

Requests that are not equally far share a batch; the actions of a chunk, or the frames of a video,
have levels of their own (diffusion forcing, rolling diffusion).  A part goes through the rows of
the plan, 1 to n, one after the other; in a call it takes its next row, or waits (−1):

    input = runner.start()
    for rows in order:                     # integers [B] or [B, T], T a divisor of the first axis
        F = network(input, c_noise[rows − 1])              # of a part that waits F is not read
        input = runner.advance_rows(F, rows)

A part that is finished keeps its last input: its result is in ``runner.result``, from where the
caller writes what the network is to see there.  T stays the same until the next ``start``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.ops.checks import (
    NOT_FINITE,
    OVERLAP,
    address,
    all_finite,
    not_finite,
    outputs,
    unchanged,
)

if TYPE_CHECKING:
    from pydiffcore.ops.runner import Runner

__all__ = ["Parts", "advance_rows"]

Array = NDArray[np.int32]


class Parts:
    """The row that each part of a batch takes next, [B, T]; the plan has rows 1 to ``last``.

    ``input`` is the network's where torch operations run the rows.
    """

    def __init__(self, next_row: int, shape: tuple[int, ...], last: int) -> None:
        self.next = np.full(shape, next_row, np.int32)
        self.last = last
        self.input: Tensor | None = None

    def check(self, rows: Array) -> None:
        """Check that each row of a call is the next one of its part or −1.

        Raises:
            ValueError: a part would skip a row, repeat one, or go past the last.

        """
        if rows.shape != self.next.shape:
            raise ValueError(
                f"rows has shape {rows.shape}, expected {self.next.shape} as in the call before"
            )
        wrong = (rows != -1) & ((rows != self.next) | (rows > self.last))
        if wrong.any():
            b, t = (int(i) for i in np.argwhere(wrong)[0])
            due = int(self.next[b, t])
            expected = f"{due}, its next row, or -1" if due <= self.last else "-1: it is finished"
            raise ValueError(f"rows[{b}, {t}] is {rows[b, t]}, expected {expected}")


def as_rows(rows: Any, shape: torch.Size) -> Array:
    """Return rows as int32 [B, T], where T divides the first axis of a sample."""
    given = rows.cpu().numpy() if isinstance(rows, Tensor) else np.asarray(rows)
    if given.dtype.kind not in "iu":
        raise TypeError(f"rows has dtype {given.dtype}, expected integers")
    B, first = shape[0], shape[1] if len(shape) > 1 else 1
    array = given[:, None] if given.ndim == 1 else given
    if array.ndim != 2 or len(array) != B or array.shape[1] < 1 or first % array.shape[1]:
        raise ValueError(
            f"rows has shape {given.shape}, expected ({B},), or ({B}, T) where T divides {first}, "
            "the first axis of a sample"
        )
    return np.ascontiguousarray(array, np.int32)


def advance_rows(runner: Runner, F: Tensor, rows: Any, F_uncond: Tensor | None) -> Tensor:
    """Run the row of each part; see :meth:`Runner.advance_rows`."""
    if not runner._draws.in_kernel:
        raise ValueError("advance_rows draws noise from the seeds: no noise=, no learned variance")
    if runner._channels:
        raise ValueError(f"advance_rows needs C order, memory_format is {runner.memory_format}")
    array, parts = as_rows(rows, runner.shape), runner._parts
    if 1 <= runner._row <= runner.plan.nfe:  # after start(), and rows of the whole batch
        parts = Parts(runner._row, array.shape, runner.plan.nfe)
    elif parts is None:
        raise RuntimeError("call start() before the first advance_rows()")
    parts.check(array)
    if runner._shares_input and runner._reference is None:
        unchanged(runner._state, runner._version)
    at = runner.shape, runner.device, runner.io_dtype
    F, F_uncond = outputs(F, F_uncond, runner.guidance is not None, *at)
    grad = any(y is not None and y.requires_grad for y in (F, F_uncond))
    if runner._reference is None and (grad or not runner.native):
        runner._reference, parts.input = runner._make_reference(None), runner._input.clone()
    if runner._reference is None:
        _native(runner, F, array, F_uncond)
    else:
        _reference(runner, parts, F, array, F_uncond)
    parts.next += array > 0
    runner._parts, runner._row, runner._plain = parts, runner.plan.nfe + 1, False
    return runner._input if parts.input is None else parts.input


def _native(runner: Runner, F: Tensor, rows: Array, F_uncond: Tensor | None) -> None:
    assert runner._program is not None
    status = runner._program.advance_rows(rows, F.data_ptr(), address(F_uncond))
    if status == OVERLAP:
        F, F_uncond = F.clone(), None if F_uncond is None else F_uncond.clone()
        status = runner._program.advance_rows(rows, F.data_ptr(), address(F_uncond))
    if status == NOT_FINITE:
        for row in np.unique(rows[rows > 0]).tolist():
            _check(runner, runner.combined(F, F_uncond, row), rows, row)
    runner._report(status, None)


def _check(runner: Runner, combined: Tensor, rows: Array, row: int) -> None:
    """Raise where a part that took this row has an output that is not finite."""
    finite = torch.isfinite(combined.detach()).reshape(*rows.shape, -1).all(dim=2).cpu().numpy()
    bad = np.argwhere(~finite & (rows == row))
    if len(bad):
        raise not_finite(runner.plan.sigma, row - 1, int(bad[0][0]), runner.seeds)


def _spread(values: NDArray[Any], x: Tensor) -> Tensor:
    """[B, T] numbers as a tensor that broadcasts over x: each over its part."""
    each = torch.as_tensor(values, device=x.device)
    if x.ndim == 1:
        return each[:, 0]
    each = each.repeat_interleave(x.shape[1] // values.shape[1], dim=1)
    return each.reshape(*each.shape, *(1,) * (x.ndim - 2))


def _reference(
    runner: Runner, parts: Parts, F: Tensor, rows: Array, F_uncond: Tensor | None
) -> None:
    """Run every row that occurs on the whole batch, and keep of each what its parts take."""
    program, c_in = runner._reference, runner._rows.c_in
    assert program is not None
    before = after = program.registers
    if parts.input is None:
        scale = _spread(c_in[parts.next - 1], before[0]).to(runner.dtype)
        parts.input = (scale * before[0]).to(runner.io_dtype)
    for row in np.unique(rows[rows > 0]).tolist():
        own = _spread(rows == row, F)
        combined = torch.where(own, runner.combined(F, F_uncond, row), 0.0)
        if not all_finite(combined):
            _check(runner, combined, rows, row)
        program.registers = before
        following = program.advance(row, combined, None).to(runner.io_dtype)
        planes = zip(program.registers, before, after, strict=True)
        after = [a if r is b else torch.where(own, r, a) for r, b, a in planes]
        if c_in[row] != 0:
            parts.input = torch.where(own, following, parts.input)
    program.registers = after
