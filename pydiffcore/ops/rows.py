# SPDX-License-Identifier: Apache-2.0
"""Rows: a plan as its runners read it, with the preconditioning folded into the coefficients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pydiffcore.ops.noise import INITIAL, SAMPLER
from pydiffcore.ops.rounding import rounded
from pydiffcore.plan import Plan

__all__ = ["Rows", "fold"]

Array = NDArray[np.float64]
SMALL = 2.0**-13  # a step below it, of the state's size, adds the difference D − x


@dataclass(frozen=True)
class Rows:
    """Per row ``reg'_j = Σ_k A_jk reg_k + f_j F + d_j clip(c_skip·reg_0 + c_out·F) + Σ_m S_jm z_m``
    and ``input' = c_in·reg'_0``; R = n + 1 rows, K registers, M draws.

    The ``registers_in`` registers that a row reads lie in the planes ``source``, [R, K], of the
    state, and the ``registers_out`` that it writes go to the planes ``target``; other planes stay
    as they are.  Register 0 comes first and lies in plane 0.

    Row 0 reads the initial state, or, where ``registers_in[0]`` is 0, makes it of unit noise: draw
    0 of purpose INITIAL.  Without clipping D is an affine map of reg_0 and F and needs no operand.
    But for float32 registers, where F is D itself, the difference F − reg_0 is the operand, with
    infinite bounds, where that rounds less: x + h(D − x) of small steps, (x − D)/sigma at small
    levels.
    """

    registers_in: NDArray[np.int32]
    registers_out: NDArray[np.int32]
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    draws: NDArray[np.int32]
    A: Array
    f: Array
    d: Array
    S: Array
    stream: NDArray[np.uint32]
    purpose: NDArray[np.uint32]
    c_skip: Array
    c_out: Array
    c_in: Array
    clip: tuple[float, float] | None
    guidance: Array | None

    def arguments(self) -> dict[str, Any]:
        """Return the fields by name, as the native program takes them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def fold(
    plan: Plan,
    *,
    unit_noise: bool,
    guidance: Array | None = None,
    single: bool = False,
    copies: bool = False,
) -> Rows:
    """Fold ``D = c_skip·x + c_out·F`` and the register scale into the coefficients of a plan.

    Args:
        plan: the plan.
        unit_noise: whether row 0 draws the initial noise itself.
        guidance: weights [n] or [n, B] of u + w(c − u) per network call, or None.
        single: whether the registers are float32; their coefficients are then rounded so that
            the errors of many rows do not add up.
        copies: whether each register has a plane of its own, into which a register that only moves
            is copied; otherwise rows read it where it is, and only one after the other.

    """
    rows = _fold(plan, unit_noise, single) if copies else _placed(plan, unit_noise, single)
    if guidance is None:
        return rows
    weights = np.concatenate([np.ones_like(guidance[:1]), guidance]).astype(np.float64)
    return replace(rows, guidance=weights)


@lru_cache(maxsize=64)
def _fold(plan: Plan, unit_noise: bool, single: bool) -> Rows:
    before = np.append(1.0, plan.scale[:-1])  # row i + 1 reads registers of scale i
    c_skip, c_out = np.append(0.0, plan.c_skip) / before, np.append(0.0, plan.c_out)
    direct = plan.B_raw if plan.clip else plan.B + plan.B_raw
    A, f = plan.A.copy(), direct * c_out[:, None]
    A[:, :, 0] += direct * c_skip[:, None]
    d, clip = plan.B if plan.clip else np.zeros_like(plan.B), plan.clip
    subtracts = np.zeros(f.shape, bool)
    if single and not plan.clip:
        subtracts = _by_difference(plan, A, f)
    if subtracts.any():
        clip = (-np.inf, np.inf)
        c_skip, c_out = np.full_like(c_skip, -1.0), np.ones_like(c_out)
        d, f = np.where(subtracts, f, 0.0), np.where(subtracts, 0.0, f)
        A[:, :, 0] += d
    A[np.abs(A) <= 4e-16 * np.abs(plan.A)] = 0.0
    if single:
        A, f, d = rounded(plan, A, f, d)
    S, stream = plan.S, plan.stream
    purpose = np.full(stream.shape, SAMPLER, np.uint32)
    registers_in = plan.registers_in.copy()
    if unit_noise:
        S, stream, purpose = _with_initial_draw(plan)
        A[0], registers_in[0] = 0.0, 0
    drawn = np.where(purpose == SAMPLER, stream + plan.first_stream, stream)
    own = np.tile(np.arange(A.shape[1], dtype=np.int32), (len(A), 1))
    return Rows(
        registers_in=registers_in.astype(np.int32),
        registers_out=plan.registers_out.astype(np.int32),
        source=own,
        target=own,
        draws=(stream >= 0).sum(axis=1).astype(np.int32),
        A=A,
        f=f,
        d=d,
        S=S,
        stream=np.where(stream >= 0, drawn, 0).astype(np.uint32),
        purpose=purpose,
        c_skip=c_skip,
        c_out=c_out,
        c_in=np.append(plan.c_in / plan.scale[:-1], 0.0),
        clip=clip,
        guidance=None,
    )


@lru_cache(maxsize=64)
def _placed(plan: Plan, unit_noise: bool, single: bool) -> Rows:
    """Return the rows without the registers that only move or are not read."""
    rows, planes = _fold(plan, unit_noise, single), plan.planes
    reads = planes.reads & (rows.registers_in > 0)[:, None]
    inputs, outputs = (np.argsort(~used, axis=1, kind="stable") for used in (reads, planes.writes))
    each = np.arange(len(inputs))[:, None]
    return replace(
        rows,
        registers_in=reads.sum(axis=1, dtype=np.int32),
        registers_out=planes.writes.sum(axis=1, dtype=np.int32),
        source=planes.before[each, inputs],
        target=planes.after[each, outputs],
        A=rows.A[each[:, :, None], outputs[:, :, None], inputs[:, None, :]],
        f=rows.f[each, outputs],
        d=rows.d[each, outputs],
        S=rows.S[each, outputs],
    )


def _by_difference(plan: Plan, A: Array, f: Array) -> NDArray[np.bool_]:
    """[n + 1, K]: whether ``(A_j0 + f_j)·x + f_j·(D − x)`` rounds less than ``A_j0·x + f_j·D``.

    It does where the two parts all but cancel, and where a step adds a part of D − x to x itself:
    x is then no product, and the sum alone is rounded, as by who writes x + h·d.  Small steps alone
    do so, in which that is all the error there is: such a plan's rows take 5 % longer.  Only where
    the network's output is D itself and x is not scaled, so that D − x is rounded once.
    """
    x0, noise = (size[:-1, 0] for size in plan.register_sizes)
    exact = (plan.c_skip == 0) & (plan.c_out == 1) & (plan.scale[:-1] == 1)
    x, f, A0 = np.hypot(x0, noise)[:, None], f[1:], A[1:, :, 0]
    whole, moved = A0 + f, np.abs(f) * np.hypot(1 - x0, noise)[:, None]
    size = np.hypot(*(size[1:] for size in plan.register_sizes))
    apart, together = np.abs(A0) * x + np.abs(f), np.abs(whole) * x + moved
    cancels = apart > 4 * np.maximum(together, size)
    adds = np.minimum(np.abs(whole), np.abs(whole - 1)) <= 1e-12
    small = (f != 0) & (np.abs(A0) > 1e-12) & (moved <= SMALL * size)
    better = exact[:, None] & (cancels | (adds & small))
    return np.concatenate([np.zeros_like(better[:1]), better])


def row_draws(plan: Plan) -> int:
    """Return the most draws that a row has, the initial noise of row 0 among them."""
    counts = (plan.stream >= 0).sum(axis=1)
    return int(max(counts.max(), counts[0] + 1))


def _with_initial_draw(plan: Plan) -> tuple[Array, NDArray[np.int64], NDArray[np.uint32]]:
    """Return S, stream and purpose with the initial noise as the first draw of row 0."""
    rows, K, M = plan.S.shape
    first = int((plan.stream[0] >= 0).sum())  # of row 0, which come first
    width = max(M, first + 1)
    S, stream = np.zeros((rows, K, width)), np.full((rows, width), -1, np.int64)
    S[1:, :, :M], stream[1:, :M] = plan.S[1:], plan.stream[1:]
    S[0, :, 1 : first + 1], stream[0, 1 : first + 1] = plan.S[0, :, :first], plan.stream[0, :first]
    S[0, :, 0], stream[0, 0] = plan.A[0, :, 0] * plan.init_scale, 0
    purpose = np.full(stream.shape, SAMPLER, np.uint32)
    purpose[0, 0] = INITIAL
    return S, stream, purpose
