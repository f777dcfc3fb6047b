# SPDX-License-Identifier: Apache-2.0
"""Explicit Runge–Kutta methods on the probability-flow ODE dx/dσ = (x − D)/σ.

A step to σ = 0, where the slope is not defined, is Euler's, which returns D.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.churn import gamma, raised
from pydiffcore.samplers.euler import split
from pydiffcore.samplers.multistep import not_negative
from pydiffcore.samplers.tableau import RK4, TABLEAUX, Tableau, checked

__all__ = ["dpm_2", "dpm_2_ancestral", "kutta", "midpoint", "ralston", "rk4", "runge_kutta"]


def runge_kutta(x: Any, denoise: Any, levels: Levels, noise: Any, *, tableau: Tableau = RK4) -> Any:
    """x' = x + Σ_i b_i k_i, k_i = Δσ (x_i − D_i)/σ_i at σ_i = σ + c_i Δσ, x_i = x + Σ_j a_ij k_j.

    It is ρRK of Zhang & Chen 2022 (DEIS, arXiv 2204.13902), section 3.3, since their
    ρ = sigma/alpha is σ.  The step to σ = 0 is Euler's for every table, as in EDM's code: most
    have a stage at 0, where there is no slope.

    Args:
        tableau: the method, one of ``samplers.TABLEAUX`` or an explicit ``Tableau``.

    """
    checked(tableau, Tableau)
    if not tableau.explicit:
        raise ValueError(f"{tableau.name} is implicit: implicit_rk takes it")
    for sigma, sigma_next in levels.steps(upwards=True):
        D = denoise(x, sigma)
        if sigma_next == 0:
            return D
        step = sigma_next - sigma
        slopes = [step / sigma * (x - D)]
        for c, row in zip(tableau.c[1:], tableau.a[1:], strict=True):
            at = (1 - c) * sigma + c * sigma_next
            state = weighted(x, row, slopes)
            slopes.append(step / at * (state - denoise(state, at)))
        x = weighted(x, tableau.b, slopes)
    return x


def weighted(x: Any, weights: Sequence[float], slopes: list[Any]) -> Any:
    """Return x + Σ_j w_j k_j over the slopes that there are."""
    for w, slope in zip(weights, slopes, strict=False):
        x = x + w * slope if w else x
    return x


def midpoint(x: Any, denoise: Any, levels: Levels, noise: Any) -> Any:
    """Run the midpoint rule in σ, of order 2: slope at (σ + σ_next)/2.  See :func:`runge_kutta`."""
    return runge_kutta(x, denoise, levels, noise, tableau=TABLEAUX["midpoint"])


def ralston(x: Any, denoise: Any, levels: Levels, noise: Any) -> Any:
    """Run Ralston's method in σ, of order 2 and least error bound.  See :func:`runge_kutta`.

    Ralston 1962 (Math. Comp. 16).
    """
    return runge_kutta(x, denoise, levels, noise, tableau=TABLEAUX["ralston"])


def kutta(x: Any, denoise: Any, levels: Levels, noise: Any) -> Any:
    """Run Kutta's method of order 3 in σ.  See :func:`runge_kutta`."""
    return runge_kutta(x, denoise, levels, noise, tableau=TABLEAUX["kutta3"])


def rk4(x: Any, denoise: Any, levels: Levels, noise: Any) -> Any:
    """Run the classical method of order 4 in σ, four calls a step.  See :func:`runge_kutta`."""
    return runge_kutta(x, denoise, levels, noise, tableau=RK4)


def _geometric_midpoint(x: Any, denoise: Any, sigma: float, sigma_next: float) -> Any:
    D = denoise(x, sigma)
    if sigma_next == 0:
        return D
    middle = math.sqrt(sigma) * math.sqrt(sigma_next)
    x_middle = D + (middle / sigma) * (x - D)
    return x + (sigma_next - sigma) / middle * (x_middle - denoise(x_middle, middle))


def dpm_2(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    churn: float = 0.0,
    s_min: float = 0.0,
    s_max: float = math.inf,
    s_noise: float = 1.0,
) -> Any:
    """Raise the noise to σ̂, then x' = x̂ + (σ_next − σ̂) d at the middle sqrt(σ̂ σ_next).

    The midpoint rule with the middle of DPM-Solver-2 (Lu et al. 2022, arXiv 2206.00927,
    Algorithm 1 at r = 1/2), of order 2, and churn as in Karras et al. 2022 (arXiv 2206.00364),
    Algorithm 2; k-diffusion's sample_dpm_2 and diffusers' KDPM2.

    Args:
        churn, s_min, s_max, s_noise: as for :func:`heun`.

    """
    not_negative(churn=churn, s_noise=s_noise)
    for sigma, sigma_next in levels.steps(upwards=churn == 0):
        raise_by = gamma(sigma, levels, churn, s_min, s_max)
        x, sigma_hat = raised(x, noise, sigma, raise_by, s_noise)
        x = _geometric_midpoint(x, denoise, sigma_hat, sigma_next)
    return x


def dpm_2_ancestral(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Any:
    """Take a :func:`dpm_2` step to σ_down, then add σ_up z, with σ_down² + σ_up² = σ_next².

    Args:
        eta: share of the posterior's noise that is drawn afresh; 0 is :func:`dpm_2`.
        s_noise: factor of the noise; with any but 1 the marginals are missed.

    """
    not_negative(s_noise=s_noise)
    for sigma, sigma_next in levels.steps():
        down, up = split(sigma, sigma_next, eta)
        x = _geometric_midpoint(x, denoise, sigma, down)
        if s_noise * up > 0:
            x = x + s_noise * up * noise(sigma, sigma_next)
    return x
