# SPDX-License-Identifier: Apache-2.0
"""Planes: where in memory a plan's registers lie, so that one which only moves is not copied.

A multistep method's history moves on by a register at each call, D_{i-1} becomes D_{i-2}: written
as a row, ``reg'_2 = 1·reg_1``.  Such a register stays in its plane and changes its name; what the
row makes anew goes into a plane that nothing holds any more.  Register 0 is always in plane 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydiffcore.plan.plan import Plan

__all__ = ["Planes", "planes_of"]


class Planes(NamedTuple):
    """Per row the registers that it reads and those that it writes, and the planes of all of them.

    reads, writes: [n + 1, K].  before, after: [n + 1, K], the plane of each register before and
    after the row; of a register that is not there then it is its own number.
    """

    reads: NDArray[np.bool_]
    writes: NDArray[np.bool_]
    before: NDArray[np.int32]
    after: NDArray[np.int32]


def planes_of(plan: Plan) -> Planes:
    """Return the planes of a plan's registers; a register that nothing moves is in its own."""
    rows, K = plan.B.shape
    own = np.arange(K, dtype=np.int32)
    there = own < plan.registers_out[:, None]
    source = np.where(there, _moved(plan), 0)
    source[:, 0] = 0  # register 0 is always written
    before, after = np.tile(own, (rows, 1)), np.tile(own, (rows, 1))
    writes = there.copy()
    for row in range(rows):
        if row:
            before[row] = after[row - 1]
        if source[row].any():
            after[row], writes[row] = _row(source[row].tolist(), before[row].tolist(), there[row])
    used = (plan.A != 0) & writes[:, :, None]
    reads = used.any(axis=1) & (own < plan.registers_in[:, None])
    reads[:, 0] = True
    return Planes(reads, writes, before, after)


def _moved(plan: Plan) -> NDArray[np.int64]:
    """[n + 1, K]: the register, above 0, that each register is a mere copy of; 0 for all others."""
    alone = ((plan.A != 0).sum(axis=2) == 1) & (plan.A.max(axis=2) == 1.0)
    adds = (plan.B != 0) | (plan.B_raw != 0) | (plan.S != 0).any(axis=2)
    copied = plan.A.argmax(axis=2)
    return np.where(alone & ~adds & (copied < plan.registers_in[:, None]), copied, 0)


def _row(
    source: list[int], before: list[int], there: NDArray[np.bool_]
) -> tuple[list[int], NDArray[np.bool_]]:
    """Return the planes after a row that moves registers, and which registers it writes."""
    K, writes = len(source), there.copy()
    after = [-1] * K
    after[0], free = 0, set(range(1, K))
    for j, k in enumerate(source):
        if k and before[k] in free:  # the first of two copies takes the plane
            after[j], writes[j] = before[k], False
            free.remove(before[k])
    for j in range(1, K):
        if after[j] < 0:
            after[j] = j if j in free else min(free)
            free.remove(after[j])
    return after, writes
