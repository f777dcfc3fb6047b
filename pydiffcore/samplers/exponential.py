# SPDX-License-Identifier: Apache-2.0
"""Exponential Runge–Kutta methods in λ = −log σ, for the probability-flow ODE and the reverse SDE.

    dx = (1 + η)(D − x) dλ + sqrt(2η) σ dW  =  −(1 + η) σ ε dλ + sqrt(2η) σ dW,

ε = (x − D)/σ: with D (``predict="x0"``) the linear part is solved exactly at z = −(1 + η)h,
h = log(σ/σ_next), and with ε ("eps") at z = h for x/σ.  η = 0 is the ODE.  A step to σ = 0, where
λ is infinite, returns D.  Hochbruck & Ostermann 2005 (SIAM J. Numer. Anal. 43), eq. 1.2.
"""

from __future__ import annotations

import math
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.exponential_tableau import (
    ExponentialTableau,
    hochbruck_ostermann_2,
    hochbruck_ostermann_3,
    hochbruck_ostermann_5,
)
from pydiffcore.samplers.multistep import not_negative, one_of
from pydiffcore.samplers.tableau import checked

__all__ = ["exponential_rk", "res_2s", "res_3s", "res_5s", "solve", "stages_of_step"]

RES_2S = hochbruck_ostermann_2()


def carried(
    N: Any, noise: Any, sigma: float, sigma_next: float, predict: str, eta: float, s_noise: float
) -> Any:
    """Return what the noise N, gathered until σ (None: none yet), has become at σ_next.

    For D: e^{−(1+η)h} N + σ_next sqrt(1 − e^{−2ηh}) z; for ε: N + sqrt(η(σ² − σ_next²)) z.
    """
    if eta == 0 or s_noise == 0 or sigma == sigma_next:
        return N
    h = math.log(sigma / sigma_next)
    if predict == "x0":
        decay = math.exp(-(1 + eta) * h)
        added = sigma_next * math.sqrt(-math.expm1(-2 * eta * h))
    else:
        decay, added = 1.0, math.sqrt(eta * (sigma - sigma_next) * (sigma + sigma_next))
    fresh = s_noise * added * noise(sigma, sigma_next)
    return fresh if N is None else decay * N + fresh


def stages_of_step(
    x: Any,
    denoise: Any,
    noise: Any,
    sigma: float,
    sigma_next: float,
    tableau: ExponentialTableau,
    rule: tuple[str, float, float, bool] = ("x0", 0.0, 1.0, True),
) -> Any:
    """Take a step from σ to σ_next > 0; ``rule`` is (predict, η, s_noise, one path or not).

    On one path the noise of a stage is what it has become of the stage's before; otherwise each
    stage draws its own, of the interval from σ.
    """
    predict, eta, s_noise, one_path = rule
    h = math.log(sigma / sigma_next)
    z = -(1 + eta) * h if predict == "x0" else h
    first, at, N = denoise(x, sigma), sigma, None
    f = [first if predict == "x0" else (x - first) / sigma]
    for c, row in tableau.stages(z):
        before = (N, noise, at) if one_path else (None, noise, sigma)
        at = sigma_next if c == 1 else sigma * math.exp(-c * h)
        N = carried(*before, at, predict, eta, s_noise)
        left = math.exp(c * z) if predict == "x0" else at / sigma - eta * (1 - at / sigma)
        state = first + left * (x - first)  # the step with f_1 alone
        scale = -z if predict == "x0" else -(1 + eta) * at * z
        for w, other in zip(row, f[1:], strict=True):
            state = state + scale * w * (other - f[0]) if w else state
        state = state if N is None else state + N
        if len(f) < len(tableau.c):
            D = denoise(state, at)
            f.append(D if predict == "x0" else (state - D) / at)
    return state


def solve(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    tableau: ExponentialTableau,
    predict: str = "x0",
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Any:
    """Run a method, with noise where eta is above 0."""
    checked(tableau, ExponentialTableau)
    one_of("predict", predict, ("x0", "eps"))
    not_negative(eta=eta, s_noise=s_noise)
    if eta > 0 and list(tableau.c) != sorted(tableau.c):
        raise ValueError(f"{tableau.name} goes back within a step, where noise cannot follow")
    for sigma, sigma_next in levels.steps(upwards=eta == 0):
        if sigma_next == 0:
            return denoise(x, sigma)
        rule = (predict, eta, s_noise, True)
        x = stages_of_step(x, denoise, noise, sigma, sigma_next, tableau, rule)
    return x


def exponential_rk(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    tableau: ExponentialTableau = RES_2S,
    predict: str = "x0",
) -> Any:
    """x' = e^{−h} x + h[φ_1(−h) D_1 + Σ_{j>1} b_j(−h)(D_j − D_1)], one call for each stage.

    Zhang et al. 2023 (RES, arXiv 2308.02157) run Hochbruck & Ostermann's methods so.

    Args:
        tableau: the method, one of ``samplers.EXPONENTIAL`` or any ``ExponentialTableau``.
        predict: "x0" for D as the integrand, "eps" for ε = (x − D)/σ.

    """
    return solve(x, denoise, levels, noise, tableau, predict)


def res_2s(x: Any, denoise: Any, levels: Levels, noise: Any, *, c2: float = 0.5) -> Any:
    """Run the two-stage method of order 2.  Hochbruck & Ostermann 2005, eq. 5.3; arXiv 2308.02157.

    Args:
        c2: where the second stage lies in λ, in (0, 1].

    """
    if not 0 < c2 <= 1:
        raise ValueError(f"c2 is {c2}, expected a number in (0, 1]")
    return solve(x, denoise, levels, noise, hochbruck_ostermann_2(c2))


def res_3s(
    x: Any, denoise: Any, levels: Levels, noise: Any, *, c2: float = 0.5, c3: float = 1.0
) -> Any:
    """Run the three-stage method of order 3.  Hochbruck & Ostermann 2005, eq. 5.8.

    Args:
        c2, c3: where the stages lie in λ, in (0, 1] and different; c2 is not 2/3.

    """
    return solve(x, denoise, levels, noise, hochbruck_ostermann_3(c2, c3))


def res_5s(x: Any, denoise: Any, levels: Levels, noise: Any) -> Any:
    """Run the five-stage method of order 4.  Hochbruck & Ostermann 2005, eq. 5.19."""
    return solve(x, denoise, levels, noise, hochbruck_ostermann_5())
