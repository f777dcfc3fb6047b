# SPDX-License-Identifier: Apache-2.0
"""Implicit Runge–Kutta methods, their stages found by a fixed number of iterations."""

from __future__ import annotations

from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.multistep import in_range
from pydiffcore.samplers.runge_kutta import weighted
from pydiffcore.samplers.tableau import IMPLICIT, Tableau, checked

__all__ = ["implicit_rk"]

GAUSS_1 = IMPLICIT["gauss1"]


def implicit_rk(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    tableau: Tableau = GAUSS_1,
    iterations: int = 2,
) -> Any:
    """Iterate k_i ← Δσ d(x + Σ_j a_ij k_j, σ_i) from k = Δσ d(x, σ), then x' = x + Σ_i b_i k_i.

    d(x, σ) = (x − D)/σ and σ_i = σ + c_i Δσ.  Each stage reads the newest slopes, and one at
    c = 0 that reads none is d(x, σ) itself.  A step takes 1 call and one for each other stage and
    iteration and has order min(order, iterations + 1): each iteration gains one, as does the
    start.  A step to σ = 0 is Euler's.
    Hairer, Nørsett & Wanner 1993, section II.7 (the iteration).

    Args:
        tableau: the method, one of ``samplers.IMPLICIT`` or any ``Tableau``.
        iterations: how often each stage is evaluated, 1 to 20.

    """
    in_range("iterations", iterations, 20)
    checked(tableau, Tableau)
    for sigma, sigma_next in levels.steps(upwards=True):
        D = denoise(x, sigma)
        if sigma_next == 0:
            return D
        step = sigma_next - sigma
        slopes = [step / sigma * (x - D)] * len(tableau.b)
        for _ in range(iterations):
            for i, (c, row) in enumerate(zip(tableau.c, tableau.a, strict=True)):
                if c > 0 or any(row):
                    at = (1 - c) * sigma + c * sigma_next
                    state = weighted(x, row, slopes)
                    slopes[i] = step / at * (state - denoise(state, at))
        x = weighted(x, tableau.b, slopes)
    return x
