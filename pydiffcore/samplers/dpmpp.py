# SPDX-License-Identifier: Apache-2.0
"""DPM-Solver++ and DPM-Solver, multistep: exponential integrators in λ = −log σ.

++ has D as the integrand, DPM-Solver the noise ε = (x − D)/σ.
"""

from __future__ import annotations

import math
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.multistep import derivatives, in_range, not_negative, one_of, orders
from pydiffcore.samplers.phi import phi

__all__ = ["dpm_solver_multi", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m", "dpmpp_3m_sde"]


def weights(order: int, z: float, solver: str, curvature: float) -> list[float]:
    """Weights of [f, h f', h² f''/2]: |z|φ_1(z), |z|φ_2(z), 2|z|φ_3(z), z = ∓h.

    "midpoint" has |z|φ_1(z)/2 for the slope at order 2.
    """
    if order == 2 and solver == "midpoint":
        return [abs(z) * phi(1, z), abs(z) * phi(1, z) / 2]
    return [abs(z) * phi(1, z), abs(z) * phi(2, z), 2 * curvature * abs(z) * phi(3, z)][:order]


def solve_data(
    x: Any, denoise: Any, levels: Levels, noise: Any, at: list[int], rule: tuple[str, float],
    eta: float = 0.0, s_noise: float = 1.0,
) -> Any:  # fmt: skip
    """Run DPM-Solver++ with the orders ``at`` and the ``rule`` (solver, curvature)."""
    one_of("solver", rule[0], ("midpoint", "heun"))
    not_negative(eta=eta, s_noise=s_noise, curvature=rule[1])
    history: list[tuple[float, Any]] = []
    for order, (sigma, sigma_next) in zip(at, levels.steps(), strict=True):
        D = denoise(x, sigma)
        if sigma_next == 0:
            return D
        h = math.log(sigma / sigma_next)
        history = [(sigma, D), *history][:3]
        x = math.exp(-(1 + eta) * h) * x
        terms = derivatives(history[:order], h)
        for w, term in zip(weights(order, -(1 + eta) * h, *rule), terms, strict=True):
            x = x + w * term
        scale = s_noise * sigma_next * math.sqrt(-math.expm1(-2 * eta * h))
        if scale > 0:
            x = x + scale * noise(sigma, sigma_next)
    return x


def dpmpp_2m(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    solver: str = "midpoint",
    lower_order_final: bool = False,
) -> Any:
    """Second-order multistep: x' = (σ_next/σ) x + (1 − σ_next/σ)[D + (D − D_prev)/(2r)].

    r = h_prev/h with h = log(σ/σ_next).  The first step and the step to σ = 0 are first-order.
    Lu et al. 2022 (arXiv 2211.01095), Algorithm 2.

    Args:
        solver: "midpoint", or "heun", which integrates the line through D and D_prev exactly.
        lower_order_final: the last step is first-order wherever it goes.

    """
    at = orders(levels, 2, lower_order_final=lower_order_final)
    return solve_data(x, denoise, levels, noise, at, (solver, 1.0))


def dpmpp_2m_sde(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver: str = "midpoint",
    lower_order_final: bool = False,
) -> Any:
    """SDE-DPM-Solver++(2M): as 2M with noise that the exact SDE solution adds.

    x' = (σ_next/σ) e^{−ηh} x + (1 − e^{−h(1+η)})[D + (D − D_prev)/(2r)]
    + σ_next sqrt(1 − e^{−2ηh}) z.  Lu et al. 2022 (arXiv 2211.01095), eq. 19 at η = 1.

    Args:
        eta: scale of the reverse SDE's noise; 0 is :func:`dpmpp_2m`.
        s_noise: factor of the noise; with any but 1 the marginals are missed.
        solver: "midpoint", or "heun", which integrates the line through D and D_prev exactly.
        lower_order_final: the last step is first-order wherever it goes.

    """
    at = orders(levels, 2, lower_order_final=lower_order_final)
    return solve_data(x, denoise, levels, noise, at, (solver, 1.0), eta, s_noise)


def dpmpp_3m(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    solver: str = "midpoint",
    curvature: float = 1.0,
    lower_order_final: bool = False,
    euler_at_final: bool = False,
) -> Any:
    """Third-order multistep: x' = (σ_next/σ) x + hφ_1 D + hφ_2·hD' + 2hφ_3·h²D''/2 at −h.

    D' and D'' are divided differences of three kept D.  The paper's code, and what follows it,
    has half of the last term, which makes the method second-order: ``curvature=0.5``.
    Lu et al. 2022 (arXiv 2211.01095), eq. 9 with k = 3.

    Args:
        solver: that of the second step (and the last but one), as for :func:`dpmpp_2m`.
        curvature: factor of the D'' term; third order needs 1.
        lower_order_final: the last two steps are of order 2 and 1.
        euler_at_final: the last step is first-order wherever it goes.

    """
    rule = {"lower_order_final": lower_order_final, "euler_at_final": euler_at_final}
    return solve_data(x, denoise, levels, noise, orders(levels, 3, **rule), (solver, curvature))


def dpmpp_3m_sde(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver: str = "heun",
    curvature: float = 1.0,
    lower_order_final: bool = False,
    euler_at_final: bool = False,
) -> Any:
    """SDE-DPM-Solver++(3M): :func:`dpmpp_3m` for the reverse SDE, at −(1 + η)h.

    It adds the noise of :func:`dpmpp_2m_sde`.  k-diffusion's sample_dpmpp_3m_sde, from which it
    comes, is this with ``curvature=0.5``.

    Args:
        eta: scale of the reverse SDE's noise; 0 is :func:`dpmpp_3m`.
        s_noise: factor of the noise; with any but 1 the marginals are missed.
        solver, curvature, lower_order_final, euler_at_final: as for :func:`dpmpp_3m`.

    """
    end = {"lower_order_final": lower_order_final, "euler_at_final": euler_at_final}
    rule = (solver, curvature)
    return solve_data(x, denoise, levels, noise, orders(levels, 3, **end), rule, eta, s_noise)


def dpm_solver_multi(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    order: int = 2,
    eta: float = 0.0,
    s_noise: float = 1.0,
    solver: str = "midpoint",
    curvature: float = 1.0,
    lower_order_final: bool = False,
    euler_at_final: bool = False,
) -> Any:
    """DPM-Solver, multistep: x' = x − (1 + η)σ_next[hφ_1 ε + hφ_2·hε' + 2hφ_3·h²ε''/2] at h.

    + sqrt(η(σ² − σ_next²)) z; ε = (x − D)/σ.  The step to σ = 0 returns D.
    Lu et al. 2022 (arXiv 2206.00927), eq. 3.6, with kept values for the derivatives as in
    arXiv 2211.01095, section 4.2; the stochastic form is its section 5 at η = 1.

    Args:
        order: 1 (DDIM) to 3.
        eta: scale of the reverse SDE's noise.
        s_noise: factor of the noise.
        solver: at order 2 "midpoint", or "heun", which integrates the line through ε exactly.
        curvature, lower_order_final, euler_at_final: as for :func:`dpmpp_3m`.

    """
    in_range("order", order, 3)
    end = {"lower_order_final": lower_order_final, "euler_at_final": euler_at_final}
    one_of("solver", solver, ("midpoint", "heun"))
    not_negative(eta=eta, s_noise=s_noise, curvature=curvature)
    history: list[tuple[float, Any]] = []
    for k, (sigma, sigma_next) in zip(orders(levels, order, **end), levels.steps(), strict=True):
        D = denoise(x, sigma)
        if sigma_next == 0:
            return D
        h = math.log(sigma / sigma_next)
        history = [(sigma, (x - D) / sigma), *history][:3]
        terms = derivatives(history[:k], h)
        for w, term in zip(weights(k, h, solver, curvature), terms, strict=True):
            x = x - (1 + eta) * sigma_next * w * term
        scale = s_noise * math.sqrt(eta * (sigma - sigma_next) * (sigma + sigma_next))
        if scale > 0:
            x = x + scale * noise(sigma, sigma_next)
    return x
