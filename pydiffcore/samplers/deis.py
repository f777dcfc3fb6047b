# SPDX-License-Identifier: Apache-2.0
"""DEIS: Adams–Bashforth for the noise ε = (x − D)/σ, interpolated in a time of choice.

In the EDM frame the probability-flow ODE is dx = ε dσ, so that x' = x + Σ_j C_j ε_j with C_j the
integral over σ of ε_j's Lagrange polynomial in the chosen time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pydiffcore.levels import Levels
from pydiffcore.samplers.multistep import exponential_step, in_range, one_of, orders
from pydiffcore.samplers.quadrature import over_step

__all__ = ["deis"]


def time_weights(
    time: Callable[[Any], Any], nodes: Sequence[float], sigma: float, sigma_next: float
) -> list[float]:
    """Integrals over [σ, σ_next] of the Lagrange polynomials in time(σ), but for the first node."""
    if len(nodes) == 1:
        return []
    points, weights = over_step(sigma, sigma_next)
    u, at = time(points), time(np.array(nodes))
    basis = [[(u - b) / (a - b) for b in at if b != a] for a in at[1:]]
    return [float(weights @ np.prod(factors, axis=0)) for factors in basis]


def deis(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    order: int = 3,
    space: str = "t",
    lower_order_final: bool = False,
) -> Any:
    """DEIS-tAB, ρAB and log-ρAB: x' = x + (σ_next − σ) ε + Σ_j C_j (ε_j − ε).

    Zhang & Chen 2023 (arXiv 2204.13902), eq. 14 and 15 in the frame of their Proposition 3;
    their tAB-r and ρAB-r have order r + 1 here.

    Args:
        order: number of values of ε that are used, from 1 (DDIM) to 4.
        space: "t", the time of the levels' process; "rho", σ itself, as :func:`lms`; "log_rho",
            log σ, as diffusers and as DPM-Solver multistep.
        lower_order_final: go down to order 1 towards the end.  A step to σ = 0 has order 1
            anyway: in log σ it is infinitely long, and in σ far longer than the one before.

    """
    in_range("order", order, 4)
    one_of("space", space, ("t", "rho", "log_rho"))
    time = levels.process.time if space == "t" else np.asarray
    at = orders(levels, order, lower_order_final=lower_order_final)
    kept: list[tuple[float, Any]] = []
    for k, (sigma, sigma_next) in zip(at, levels.steps(), strict=True):
        D = denoise(x, sigma)
        kept = [(sigma, (x - D) / sigma), *kept][:order]
        nodes, eps = zip(*kept[:k], strict=True)
        if space == "log_rho":
            x = exponential_step(x, eps[0], kept[1:k], sigma, sigma_next, of="eps")
            continue
        x = D + (sigma_next / sigma) * (x - D)
        for c, other in zip(time_weights(time, nodes, sigma, sigma_next), eps[1:], strict=True):
            x = x + c * (other - eps[0])
    return x
