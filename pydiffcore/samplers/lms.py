# SPDX-License-Identifier: Apache-2.0
"""Linear multistep: Adams–Bashforth in σ on uneven levels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pydiffcore.levels import Levels

__all__ = ["lms"]


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


def lms(x: Any, denoise: Any, levels: Levels, noise: Any, *, order: int = 4) -> Any:
    """X' = x + Σ_j c_j d_{i−j}, c_j the integral of d's interpolation in σ, d = (x − D)/σ.

    Liu et al. 2022 (arXiv 2202.09778) use the method at even steps; here on any levels.

    Args:
        order: number of slopes d that are kept, at least 1.

    """
    if order < 1:
        raise ValueError(f"order is {order}, expected at least 1")
    slopes: list[Any] = []
    nodes: list[float] = []
    for sigma, sigma_next in levels.steps():
        slopes = [(x - denoise(x, sigma)) / sigma, *slopes][:order]
        nodes = [sigma, *nodes][:order]
        for c, d in zip(adams_bashforth(np.array(nodes), sigma, sigma_next), slopes, strict=True):
            x = x + float(c) * d
    return x
