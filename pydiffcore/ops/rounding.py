# SPDX-License-Identifier: Apache-2.0
"""Rounding a plan's coefficients to float32 so that their errors do not add up.

Neighbouring rows have nearly equal coefficients, so that rounding each to the nearest float32
makes nearly the same error a thousand times.  Here the error that has gathered in each register,
in its x0 coefficient and in its noise, is carried along, and the two largest coefficients of the
next row are rounded from values that cancel it.  A denoiser follows the error of its query, the
more the smaller the level, or 90 steps of Langevin at σ = 0.01 would each add theirs unseen.
A coefficient moves by a few units in its last place; no kernel is any slower.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pydiffcore.plan import Plan

__all__ = ["rounded"]

Array = NDArray[np.float64]
ULPS = 2.0  # a correction beyond this many units in the last place is no rounding matter


def _single(values: Array) -> Array:
    return values.astype(np.float32).astype(np.float64)


def _inexact(values: Array) -> NDArray[np.bool_]:
    """Return which are no float32 numbers: products with 1 − 2⁻²⁴ for 1 would all round one way."""
    return np.asarray(np.abs(_single(values) - values) > 1e-14 * np.abs(values))


def rounded(plan: Plan, A: Array, f: Array, d: Array) -> tuple[Array, Array, Array]:
    """Return A [n + 1, K, K], f and d [n + 1, K] in float32 numbers, errors carried along.

    Args:
        plan: the plan, for its preconditioning and its marginals.
        A, f: coefficients of registers and of the network's output, float64.
        d: of the clipped prediction or, where the plan does not clip, of the difference D − x;
            it is left as it is where a register reads the output as well.

    """
    other, minus_x = (d != 0) & (f == 0), 0.0 if plan.clip else 1.0
    left, f = d, np.where(other, d, f)  # one operand of each register
    A32, f32 = _single(A), _single(f)
    may_move, f_may_move = _inexact(A), _inexact(f)
    size_x0, size_noise = plan.register_sizes
    K = A.shape[1]
    error = np.zeros((K, 2))
    for row in range(1, plan.nfe + 1):
        i = row - 1
        scale, skip, out = plan.scale[i], plan.c_skip[i], plan.c_out[i]
        sizes = np.stack([size_x0[i], size_noise[i]], axis=1)  # [K, 2]
        D, state, state_error = np.array([1.0, 0.0]), sizes[0] / scale, error[0] / scale
        follows = 1 / (1 + plan.sigma[i] ** 2)  # dD/dx for Gaussian data of variance 1
        apart = other[row][:, None]
        F = np.where(apart, D - minus_x * state, (D - skip * state) / out)  # [K, 2]
        F_error = np.where(apart, follows - minus_x, (follows - skip) / out) * state_error
        carried = A[row] @ error + f[row][:, None] * F_error
        made = (A32[row] - A[row]) @ sizes + (f32[row] - f[row])[:, None] * F
        after = carried + made
        for j in range(plan.registers_out[row]):
            if not (f_may_move[row, j] and may_move[row, j].any()):
                continue
            k = int(np.argmax(np.abs(A[row, j] * sizes[:, 1]) * may_move[row, j]))
            nudge = _solve(sizes[k], F[j], -after[j])
            if nudge is None:
                continue
            a, b = A32[row, j, k] + nudge[0], f32[row, j] + nudge[1]
            limit = ULPS * 6e-8 * max(abs(A[row, j, k]), abs(f[row, j]))
            if max(abs(nudge[0]), abs(nudge[1])) > limit:
                continue
            A32[row, j, k], f32[row, j] = np.float32(a), np.float32(b)
            after[j] = (
                carried[j] + (A32[row, j] - A[row, j]) @ sizes + (f32[row, j] - f[row, j]) * F[j]
            )
        error = after
    return A32, np.where(other, 0.0, f32), np.where(other, f32, left)


def _solve(p: Array, q: Array, target: Array) -> tuple[float, float] | None:
    """Return (a, b) with a·p + b·q = target in the plane, or None where p and q are parallel."""
    determinant = float(p[0] * q[1] - p[1] * q[0])
    if abs(determinant) <= 1e-9 * float(np.hypot(*p) * np.hypot(*q)):
        return None
    a = (target[0] * q[1] - target[1] * q[0]) / determinant
    b = (p[0] * target[1] - p[1] * target[0]) / determinant
    return float(a), float(b)
