# SPDX-License-Identifier: Apache-2.0
"""What multistep samplers share: their order at each step, and weights of what they kept.

With λ = −log σ and h = log(σ/σ_next) the exact solution of the probability-flow ODE is

    x' = e^{−h} x + ∫₀^h e^{−(h−s)} D(λ + s) ds  =  x − σ_next ∫₀^h e^{h−s} ε(λ + s) ds,

ε = (x − D)/σ; the methods put a polynomial through kept values in the place of D or ε.
Lu et al. 2022 (arXiv 2206.00927), eq. 3.4, and 2022 (arXiv 2211.01095), eq. 8.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from pydiffcore.levels import Levels
from pydiffcore.samplers.phi import phi

__all__ = [
    "at_least", "derivatives", "exponential_step", "exponential_weights", "in_range",
    "not_negative", "one_of", "orders",
]  # fmt: skip


def orders(
    levels: Levels,
    order: int,
    *,
    lower_order_final: bool = False,
    euler_at_final: bool = False,
) -> list[int]:
    """Return the order of each step: 1, 2, …, order while history is short, 1 to σ = 0.

    Args:
        levels: the levels to step through.
        order: the highest.
        lower_order_final: go down to 1 again towards the end: …, 3, 2, 1.
        euler_at_final: the last step is of order 1.

    """
    n = len(levels)
    found = [min(i + 1, order) for i in range(n)]
    if lower_order_final:
        found = [min(k, n - i) for i, k in enumerate(found)]
    return [*found[:-1], 1] if euler_at_final or levels.sigma[-1] == 0 else found


def exponential_weights(nodes: Sequence[float], z: float) -> list[float]:
    """Weights of f(u_j) − f(0) in |z| ∫₀¹ e^{z(1−u)} (p(u) − f(0)) du, p interpolating f.

    p goes through f at 0 and at ``nodes``, in units of the step; z is −h for D and h for ε.
    The weights are exact for polynomials, Σ_j w_j u_j^k = |z| k! φ_{k+1}(z).
    """
    u = np.array(nodes, np.float64)
    powers = np.arange(1, len(u) + 1)
    moments = [abs(z) * math.factorial(k) * phi(k + 1, z) for k in powers.tolist()]
    return np.linalg.solve(u ** powers[:, None], np.array(moments)).tolist() if len(u) else []


def exponential_step(
    x: Any,
    f: Any,
    others: Sequence[tuple[float, Any]],
    sigma: float,
    sigma_next: float,
    *,
    of: str = "x0",
    rate: float = 1.0,
    variant: str = "exact",
) -> Any:
    """Step with the polynomial through f at σ and the others (σ_j, f_j), past ones or the next.

    x' = e^{−rh} x + rhφ_1(−rh) f + Σ_j w_j (f_j − f) for f = D, r the rate;
    x' = x − rσ_next [hφ_1(h) f + Σ_j w_j (f_j − f)] for f = ε.  r = 1 is the ODE.

    Args:
        x, f, others, sigma, sigma_next: as above; sigma_next may be 0 where there are no others;
            of others at one level the last counts, of those at σ none.
        of: "x0" where f is D, "eps" where it is ε.
        rate: 1 + τ² of the reverse SDE whose mean this is.
        variant: weight of one other, at u steps: the exact one, or B/2u with B = |z| ("bh1") or
            B = |z|φ_1(z) ("bh2").

    """
    if sigma_next == 0:
        return f if of == "x0" else x - rate * sigma * f
    if sigma_next == sigma:
        return x
    others = list({at: (at, other) for at, other in others if at != sigma}.values())
    h = math.log(sigma / sigma_next)
    z = -rate * h if of == "x0" else h
    nodes = [math.log(sigma / at) / h for at, _ in others]
    if len(nodes) == 1 and variant != "exact":
        w = [abs(z) * (phi(1, z) if variant == "bh2" else 1.0) / (2 * nodes[0])]
    else:
        w = exponential_weights(nodes, z)
    total = abs(z) * phi(1, z) * f
    for c, (_, other) in zip(w, others, strict=True):
        total = total + c * (other - f)
    return math.exp(z) * x + total if of == "x0" else x - rate * sigma_next * total


def derivatives(history: Sequence[tuple[float, Any]], h: float) -> list[Any]:
    """Return [f, h f', h² f''/2] in λ at the newest of up to three kept (σ, f), newest first.

    Divided differences: as many as there are values, each as exact as they allow.
    """
    (now, f), *past = history
    if not past:
        return [f]
    r = [math.log(sigma / now) / h for sigma, _ in past]
    slopes = [(f - past[0][1]) / r[0]]
    if len(past) == 1:
        return [f, *slopes]
    slopes.append((past[0][1] - past[1][1]) / (r[1] - r[0]))
    bend = (slopes[0] - slopes[1]) / r[1]
    return [f, slopes[0] + r[0] * bend, bend]


def in_range(name: str, value: int, highest: int) -> None:
    """Check a count from 1 to ``highest``."""
    if not (isinstance(value, int | np.integer) and 1 <= value <= highest):
        raise ValueError(f"{name} is {value!r}, expected a whole number from 1 to {highest}")


def at_least(name: str, value: int, lowest: int) -> None:
    """Check a count without an upper bound."""
    if not (isinstance(value, int | np.integer) and value >= lowest):
        raise ValueError(f"{name} is {value!r}, expected a whole number, at least {lowest}")


def not_negative(**values: float) -> None:
    """Check that named options are at least 0."""
    for name, value in values.items():
        try:
            good = math.isfinite(value) and value >= 0
        except TypeError:
            good = False
        if not good:
            raise ValueError(f"{name} is {value!r}, expected at least 0")


def one_of(name: str, value: str, allowed: Collection[str]) -> None:
    """Check a choice."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(map(repr, allowed))}")
