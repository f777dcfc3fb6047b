# SPDX-License-Identifier: Apache-2.0
"""Rounding a plan's coefficients to float32 so that their errors do not add up.

Neighbouring rows have nearly equal coefficients, so that rounding each to the nearest float32
makes nearly the same error a thousand times.  Here the error that has gathered in each register,
in its x0 coefficient and in its noise, is carried along (for a perfect denoiser, D = x0), and the
two largest coefficients of the next row are rounded from values that cancel it.  A coefficient
moves by a few units in its last place; no kernel is any slower.
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


def rounded(
    plan: Plan, A: Array, f: Array, d: Array, subtracts: NDArray[np.bool_]
) -> tuple[Array, Array, Array]:
    """Return A [n + 1, K, K], f and d [n + 1, K] in float32 numbers, errors carried along.

    Args:
        plan: the plan, for its preconditioning and its marginals.
        A, f: coefficients of registers and of the network's output, float64.
        d: of the clipped prediction, which is left as it is, or of the difference D − x.
        subtracts: [n + 1, K], which registers read that difference in place of the output.

    """
    clipped, f = d, np.where(subtracts, d, f)  # one operand of each register
    A32, f32 = _single(A), _single(f)
    size_x0, size_noise = plan.register_sizes
    K = A.shape[1]
    error = np.zeros((K, 2))
    for row in range(1, plan.nfe + 1):
        i = row - 1
        scale, skip, out = plan.scale[i], plan.c_skip[i], plan.c_out[i]
        sizes = np.stack([size_x0[i], size_noise[i]], axis=1)  # [K, 2]
        output = np.array([1.0 - skip * sizes[0, 0] / scale, -skip * sizes[0, 1] / scale]) / out
        follows = 1.0 / (1.0 + plan.sigma[i] ** 2)  # dD/dx for Gaussian data of variance 1
        output_error = (follows - skip) / (scale * out) * error[0]
        apart = subtracts[row][:, None]
        F = np.where(apart, [1.0 - sizes[0, 0], -sizes[0, 1]], output)  # [K, 2]
        F_error = np.where(apart, (follows - 1.0) * error[0], output_error)
        carried = A[row] @ error + f[row][:, None] * F_error
        made = (A32[row] - A[row]) @ sizes + (f32[row] - f[row])[:, None] * F
        after = carried + made
        for j in range(plan.registers_out[row]):
            k = int(np.argmax(np.abs(A[row, j] * sizes[:, 1])))
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
    return A32, np.where(subtracts, 0.0, f32), np.where(subtracts, f32, clipped)


def _solve(p: Array, q: Array, target: Array) -> tuple[float, float] | None:
    """Return (a, b) with a·p + b·q = target in the plane, or None where p and q are parallel."""
    determinant = float(p[0] * q[1] - p[1] * q[0])
    if abs(determinant) <= 1e-9 * float(np.hypot(*p) * np.hypot(*q)):
        return None
    a = (target[0] * q[1] - target[1] * q[0]) / determinant
    b = (p[0] * target[1] - p[1] * target[0]) / determinant
    return float(a), float(b)
