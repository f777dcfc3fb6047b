# SPDX-License-Identifier: Apache-2.0
"""The φ functions of exponential integrators, accurate for small arguments."""

from __future__ import annotations

import math

__all__ = ["phi"]


def phi(k: int, h: float) -> float:
    """Return φ_k(h) = ∫₀¹ e^{(1−s)h} s^{k−1}/(k−1)! ds; φ_0(h) = e^h and φ_k(0) = 1/k!.

    φ_k(h) = (φ_{k−1}(h) − 1/(k−1)!)/h cancels for small h, where the series Σ_j h^j/(j+k)! is
    used instead; relative errors stay below 1e-14 for k ≤ 4.
    Hochbruck & Ostermann 2010 (Acta Numerica 19), eq. 2.10 and 2.11.

    Raises:
        ValueError: k is negative.

    """
    if k < 0:
        raise ValueError(f"k is {k}, expected at least 0")
    if k == 0:
        return math.exp(h)
    if k == 1 and h != 0:
        return math.expm1(h) / h
    if abs(h) < 1 + k / 2:
        total = 1.0
        for j in range(30, 0, -1):
            total = 1.0 + total * h / (j + k)
        return total / math.factorial(k)
    return (phi(k - 1, h) - 1 / math.factorial(k - 1)) / h
