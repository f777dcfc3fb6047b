# SPDX-License-Identifier: Apache-2.0
"""Linear multistep: Adams–Bashforth in σ on uneven levels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pydiffcore.levels import Levels
from pydiffcore.samplers.multistep import at_least

__all__ = ["ab_velocity", "lms"]


def adams_bashforth(nodes: NDArray[np.float64], a: float, b: float) -> NDArray[np.float64]:
    """Integrals over [a, b] of the Lagrange polynomials of ``nodes``.

    Gauss–Legendre quadrature with ⌈k/2⌉ points is exact for their degree k − 1.
    """
    points, weights = np.polynomial.legendre.leggauss((len(nodes) + 1) // 2)
    t = (a + b) / 2 + (b - a) / 2 * points
    basis = [
        np.prod([(t - other) / (node - other) for other in nodes if other != node], axis=0)
        for node in nodes
    ]
    return np.array([(b - a) / 2 * np.sum(weights * values) for values in basis])


def lms(
    x: Any, denoise: Any, levels: Levels, noise: Any, *, order: int = 4, extrapolates: bool = True
) -> Any:
    """x' = x + Σ_j c_j d_{i−j}, c_j the integral of d's interpolation in σ, d = (x − D)/σ.

    Liu et al. 2022 (arXiv 2202.09778) use the method at even steps; here on any levels.

    Args:
        order: number of slopes d that are kept, at least 1.
        extrapolates: whether the slopes lead to σ = 0 too, as in k-diffusion; else D is taken.

    """
    at_least("order", order, 1)
    slopes: list[Any] = []
    nodes: list[float] = []
    for sigma, sigma_next in levels.steps(upwards=True):
        D = denoise(x, sigma)
        if sigma_next == 0 and not extrapolates:
            return D
        slopes = [(x - D) / sigma, *slopes][:order]
        nodes = [sigma, *nodes][:order]
        for c, d in zip(adams_bashforth(np.array(nodes), sigma, sigma_next), slopes, strict=True):
            x = x + float(c) * d
    return x


def ab_velocity(x: Any, denoise: Any, levels: Levels, noise: Any, *, order: int = 2) -> Any:
    """Adams–Bashforth for the flow's velocity: X' = X + Σ_j c_j v_j, v = (X − D)/t.

    t = σ/(1 + σ) and X = (1 − t) x; c_j integrates v's interpolation in t.  It goes to t = 0 with
    its full order.  The ODE is Lipman et al. 2022 (arXiv 2210.02747), eq. 1 for the straight path.

    Args:
        order: number of velocities that are kept, at least 1; 1 is Euler.

    """
    at_least("order", order, 1)
    kept: list[tuple[float, Any]] = []
    for sigma, sigma_next in levels.steps():
        D = denoise(x, sigma)
        v = (x - D) / sigma - D
        kept = [(sigma, v), *kept][:order]
        # differences of times from t, which would cancel near t = 1
        ends = [(a - sigma) / ((1 + a) * (1 + sigma)) for a in (*(a for a, _ in kept), sigma_next)]
        x = D + (sigma_next / sigma) * (x - D)
        weights = adams_bashforth(np.array(ends[:-1]), 0.0, ends[-1])
        for c, (_, other) in zip(weights[1:], kept[1:], strict=True):
            x = x + (1 + sigma_next) * float(c) * (other - v)
    return x
