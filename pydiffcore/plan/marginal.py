# SPDX-License-Identifier: Apache-2.0
"""The Plan's own oracle: push (x0, eps) through the rows with a perfect denoiser, D = x0.

Every register is then a·x0 + (noise); a and the noise's covariance follow the rows linearly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydiffcore.plan.plan import Plan

__all__ = ["Marginal", "denoiser_weight", "push"]


class Marginal(NamedTuple):
    """[n + 1] each: x0 error and noise ratio of queries and result, amplification of rows.

    ``x0`` and ``noise`` are [n + 1, K]: what each register holds after each row, its x0
    coefficient and its noise in the direction of the query's.
    """

    x0_error: NDArray[np.float64]
    noise_ratio: NDArray[np.float64]
    amplification: NDArray[np.float64]
    x0: NDArray[np.float64]
    noise: NDArray[np.float64]


@np.errstate(over="ignore", invalid="ignore")
def push(plan: Plan) -> Marginal:
    """Return what the plan's queries are made of, given the exact x0 at every call."""
    n, K = plan.nfe, plan.A.shape[1]
    start = plan.scale_init
    mean, L = np.zeros(K), np.zeros((K, K))  # noise covariance L·Lᵀ, kept as its root
    mean[0], L[0, 0] = start, start * plan.sigma_init
    x0_error, noise_ratio, amplification = np.empty(n + 1), np.empty(n + 1), np.empty(n + 1)
    x0, along = np.empty((n + 1, K)), np.empty((n + 1, K))
    sigma = [*plan.sigma.tolist(), plan.sigma_final]
    D = plan.B + plan.B_raw
    for row in range(n + 1):  # a divergent plan overflows here, which its figures then show
        A, S, k = plan.A[row], plan.S[row], plan.registers_out[row]
        size = np.sqrt(mean**2 + (L * L).sum(axis=1))
        terms = np.abs(A) @ size + np.abs(S).sum(axis=1)
        if row > 0:
            terms = terms + np.abs(plan.B[row]) + np.abs(plan.B_raw[row])
        mean = A @ mean + D[row]
        L = np.asarray(np.linalg.qr(np.concatenate([A @ L, S], axis=1).T, mode="r")).T
        noise = np.sqrt((L * L).sum(axis=1))
        total = np.hypot(mean, noise)[:k]
        amplification[row] = (terms[:k] / np.maximum(total, 1e-300)).max()
        deviation = noise[0] / plan.scale[row]
        x0_error[row] = abs(mean[0] / plan.scale[row] - 1)
        noise_ratio[row] = deviation / sigma[row] if sigma[row] > 0 else 1 + deviation
        x0[row], along[row] = mean, L @ L[0] / max(noise[0], 1e-300)
    return Marginal(x0_error, noise_ratio, amplification, x0, along)


@np.errstate(over="ignore", invalid="ignore")
def denoiser_weight(plan: Plan) -> NDArray[np.float64]:
    """Return [n + 1] Σ_k |weight of D_k| in each query and in the result."""
    n, K = plan.nfe, plan.A.shape[1]
    weights, total = np.zeros((K, n)), np.empty(n + 1)
    for row in range(n + 1):
        weights = plan.A[row] @ weights
        if row > 0:
            weights[:, row - 1] += plan.B[row] + plan.B_raw[row]
        total[row] = np.abs(weights[0]).sum() / plan.scale[row]
    return total
