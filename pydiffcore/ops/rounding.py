# SPDX-License-Identifier: Apache-2.0
"""Rounding a plan's coefficients to float32 so that their errors do not add up.

Neighbouring rows have nearly equal coefficients, so that rounding each to the nearest float32
makes nearly the same error a thousand times.  Here the error that has gathered in each register,
in its x0 coefficient and in its noise, is carried along, and two coefficients of the next row are
rounded from values that cancel it.  A denoiser follows the error of its query, the
more the smaller the level, or 90 steps of Langevin at σ = 0.01 would each add theirs unseen.
A coefficient moves by a few units in its last place; no kernel is any slower.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pydiffcore.plan import Plan

__all__ = ["rounded"]

Array = NDArray[np.float64]
ULPS = 2.0  # no correction goes beyond these units in the last place of the largest coefficient


def _single(values: Array) -> Array:
    return np.asarray(values, np.float32).astype(np.float64)


def rounded(plan: Plan, A: Array, f: Array, d: Array) -> tuple[Array, Array, Array]:
    """Return A [n + 1, K, K], f and d [n + 1, K] in float32 numbers, errors carried along.

    Args:
        plan: the plan, for its preconditioning and its marginals.
        A, f: coefficients of registers and of the network's output, float64.
        d: of the clipped prediction or, where the plan does not clip, of the difference D − x;
            it is left as it is where a register reads the output as well.

    """
    other, minus_x = (d != 0) & (f == 0), 0.0 if plan.clip else 1.0
    exact = np.concatenate([A, np.where(other, d, f)[:, :, None]], axis=2)  # [n + 1, K, K + 1]
    found = _single(exact)
    size_x0, size_noise = plan.register_sizes
    error = np.zeros((A.shape[1], 2))
    for row in range(1, plan.nfe + 1):
        i = row - 1
        scale, skip, out = plan.scale[i], plan.c_skip[i], plan.c_out[i]
        sizes = np.stack([size_x0[i], size_noise[i]], axis=1)  # [K, 2]
        D, state, state_error = np.array([1.0, 0.0]), sizes[0] / scale, error[0] / scale
        follows = 1 / (1 + plan.sigma[i] ** 2)  # dD/dx for Gaussian data of variance 1
        before = error.copy()
        for j in range(len(error)):
            F, F_error = (D - skip * state) / out, (follows - skip) / out * state_error
            if other[row, j]:
                F, F_error = D - minus_x * state, (follows - minus_x) * state_error
            carried = exact[row, j] @ np.vstack([before, F_error])
            operands = np.vstack([sizes, F])
            if j < plan.registers_out[row]:
                _nudge(exact[row, j], found[row, j], operands, carried)
            error[j] = carried + (found[row, j] - exact[row, j]) @ operands
    f32 = found[:, :, -1]
    return found[:, :, :-1], np.where(other, 0.0, f32), np.where(other, f32, d)


def _nudge(exact: Array, found: Array, operands: Array, carried: Array) -> None:
    """Round two coefficients of a register again, so that their errors cancel what is carried.

    No operand is added, and what is a float32 number stays it: 1 − 2⁻²⁴ in the place of 1 would
    round all products one way.
    """
    inexact = np.abs(_single(exact) - exact) > 1e-14 * np.abs(exact)
    k = int(np.argmax(np.abs(exact * operands[:, 1])[:-1] * inexact[:-1]))
    p = operands[k]
    determinants = (p[0] * operands[:, 1] - p[1] * operands[:, 0]) * inexact
    m = int(np.argmax(np.abs(determinants)))
    q = operands[m]
    if not inexact[k] or abs(determinants[m]) <= 1e-9 * np.hypot(*p) * np.hypot(*q):
        return
    target = -(carried + (found - exact) @ operands)
    a = (target[0] * q[1] - target[1] * q[0]) / determinants[m]
    b = (p[0] * target[1] - p[1] * target[0]) / determinants[m]
    limit = ULPS * 6e-8 * np.abs(exact).max()
    part = min(1.0, limit / max(abs(a), abs(b), limit))
    found[k], found[m] = _single(found[k] + part * a), _single(found[m] + part * b)
