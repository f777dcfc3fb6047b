# SPDX-License-Identifier: Apache-2.0
"""ER-SDE solvers: the reverse SDE extended by a noise scale function φ(σ).

φ(σ) = σ is the ODE and φ(σ) = σ² the reverse SDE; the noise of a step has the variance
σ_next² − σ² (φ(σ_next)/φ(σ))².
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from pydiffcore.levels import Levels
from pydiffcore.samplers.multistep import in_range, not_negative, one_of, orders
from pydiffcore.samplers.quadrature import over_step

__all__ = ["er_sde"]

Scale = Callable[[Any], Any]
Ratio = Callable[[Any, Any], Any]
# g(a)/g(b) of g(σ) = φ(σ)/σ, which keeps the ODE's noise exactly 0; the paper's Appendix A.8.
# The last one's g is beyond all numbers at σ = 3e9, its ratios are not.
SCALES: dict[str, Ratio] = {
    "ode": lambda a, b: (b / b) ** 0,
    "sde": lambda a, b: a / b,
    "er-sde-1": lambda a, b: (np.exp(-1 / a) + 10) / (np.exp(-1 / b) + 10),
    "er-sde-2": lambda a, b: (a / b) ** 0.5,
    "er-sde-3": lambda a, b: (a / b) ** 1.5,
    "er-sde-4": lambda a, b: (a / b) ** -0.1 * _log10(a) / _log10(b),
    "er-sde-5": lambda a, b: np.exp(a**0.3 - b**0.3) * _beside_10(a) / _beside_10(b),
}


def _log10(s: Any) -> Any:
    return np.log10(1 + 100 * s**1.5)


def _beside_10(s: Any) -> Any:
    return 1 + 10 * np.exp(-(s**0.3))


def chosen(scale: str | Scale) -> Ratio:
    """Return the ratio of φ(σ)/σ at two levels by φ's name, or of a function φ."""
    if isinstance(scale, str):
        one_of("scale", scale, SCALES)
        return SCALES[scale]
    if not callable(scale):
        raise TypeError(f"scale is {scale!r}, expected a name or a function of sigma")
    return lambda a, b: (scale(a) / a) / (scale(b) / b)


def step_weights(g: Ratio, sigma: float, sigma_next: float) -> tuple[float, float, float, float]:
    """Return q = g(σ_next)/g(σ), the weights of D' and D'', and the noise's deviation.

    They are the integrals of φ(σ_next)/φ(s) − 1, and of it times s − σ, from σ_next to σ.
    """
    to = np.float64(sigma_next)
    q = float(g(to, np.float64(sigma)))
    if not 0 <= q <= 1:
        raise ValueError(
            f"scale at {sigma_next} over that level is {q} times the same at {sigma}: "
            "expected scale(sigma)/sigma to be positive and not to fall as sigma rises"
        )
    s, w = over_step(sigma, sigma_next)
    excess = w * (1 - g(to, s) * (sigma_next / s))
    bend = float(np.sum(excess * (s - sigma)))
    return q, float(np.sum(excess)), bend, sigma_next * math.sqrt((1 - q) * (1 + q))


def up_to_third(order: int) -> None:
    """Refuse an order without a solver."""
    if isinstance(order, int | np.integer) and order > 3:
        raise ValueError(
            f"order is {order}, expected a whole number from 1 to 3: the paper has Algorithms 1 "
            "to 3, and its plain differences of D leave even the third second-order without noise"
        )
    in_range("order", order, 3)


def er_sde(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    order: int = 3,
    scale: str | Scale = "er-sde-5",
    s_noise: float = 1.0,
    parabola: bool = False,
) -> Any:
    """ER-SDE-Solver-k: x' = r x + (1 − r) D + a D' + b D'' + sqrt(σ_next² − r²σ²) z.

    r = φ(σ_next)/φ(σ), a = σ_next − σ + ∫ φ(σ_next)/φ(s) ds and
    b = (σ_next − σ)²/2 + ∫ (s − σ) φ(σ_next)/φ(s) ds over [σ_next, σ]; D' is the difference of two
    D over that of their levels, D'' that of two such D'.  The step to σ = 0 returns D.
    Cui et al. 2023 (arXiv 2309.06169), Algorithms 1 to 3 (VE; VP is the same in the EDM frame).

    Args:
        order: k, from 1 to 3; lower in the first steps.  There is no 4: the paper has Algorithms
            1 to 3, and one more plain difference would not raise the order (see parabola).
        scale: φ by its name in the paper ("er-sde-1" to "er-sde-5", "ode", "sde") or a function.
        s_noise: factor of the noise; with any but 1 the marginals are missed.
        parabola: at k = 3 take for D' the slope of the parabola through three D.  The paper's
            plain difference leaves the method second-order where its noise vanishes.

    """
    up_to_third(order)
    not_negative(s_noise=s_noise)
    g = chosen(scale)
    kept: list[tuple[float, Any]] = []
    for k, (sigma, sigma_next) in zip(orders(levels, order), levels.steps(), strict=True):
        D = denoise(x, sigma)
        if sigma_next == 0:
            return D
        q, a, b, deviation = step_weights(g, sigma, sigma_next)
        kept = [(sigma, D), *kept][:order]
        x = D + (sigma_next / sigma) * q * (x - D)
        slopes = [(f - f0) / (s - s0) for (s, f), (s0, f0) in pairwise(kept[:k])]
        if k > 1:
            x = x + a * slopes[0]
        if k > 2:
            bend = (slopes[0] - slopes[1]) / ((sigma - kept[2][0]) / 2)
            x = x + (b + a * parabola * (sigma - kept[1][0]) / 2) * bend
        if s_noise * deviation > 0:
            x = x + s_noise * deviation * noise(sigma, sigma_next)
    return x
