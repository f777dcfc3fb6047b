# SPDX-License-Identifier: Apache-2.0
"""Integrals over a step in σ of functions that are smooth in log σ."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["over_step"]

POINTS, WEIGHTS = np.polynomial.legendre.leggauss(16)


def over_step(sigma: float, sigma_next: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points and weights: Σ w f(s) is the integral of f from σ to σ_next.

    Gauss–Legendre in v, σ = c·sinh(v), in pieces of at most length 1 with 16 points each: that is
    log σ above c, in which times are smooth wherever they bend in σ, and reaches σ = 0.
    """
    c = sigma_next if sigma_next > 0 else 1e-6 * sigma
    start, stop = math.asinh(sigma / c), math.asinh(sigma_next / c)
    edges = np.linspace(start, stop, math.ceil(start - stop) + 1)
    half = np.diff(edges)[:, None] / 2
    v = edges[:-1, None] + half * (1 + POINTS)
    return (c * np.sinh(v)).ravel(), (half * WEIGHTS * c * np.cosh(v)).ravel()
