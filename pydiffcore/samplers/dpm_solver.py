# SPDX-License-Identifier: Apache-2.0
"""DPM-Solver, singlestep: exponential Runge–Kutta methods in λ on the noise ε = (x − D)/σ."""

from __future__ import annotations

import itertools
import math
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.euler import split
from pydiffcore.samplers.exponential import solve, stages_of_step
from pydiffcore.samplers.exponential_tableau import (
    EXPONENTIAL_EULER,
    ExponentialTableau,
    single_2,
    single_3,
)
from pydiffcore.samplers.multistep import at_least, in_range, not_negative, one_of

__all__ = ["dpm_fast", "dpm_solver_2", "dpm_solver_3", "dpm_solver_single"]

FAST = {1: EXPONENTIAL_EULER, 2: single_2(), 3: single_3()}


def dpm_solver_2(x: Any, denoise: Any, levels: Levels, noise: Any, *, r: float = 0.5) -> Any:
    """x' = x − σ_next[(e^h − 1) ε + (e^h − 1)/(2r) (ε_1 − ε)], ε_1 at σ_1 = σ e^{−rh}.

    Two calls a step, one where it goes to σ = 0; DPM-Solver-1 is :func:`euler`.
    Lu et al. 2022 (arXiv 2206.00927), Algorithm 1 and, for r, Algorithm 4.

    Args:
        r: where the second call lies in λ, in (0, 1].

    """
    return solve(x, denoise, levels, noise, single_2(r), "eps")


def dpm_solver_3(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    r1: float = 1 / 3,
    r2: float = 2 / 3,
) -> Any:
    """x' = x − σ_next[(e^h − 1) ε + ((e^h − 1)/h − 1)/r2 (ε_2 − ε)], ε_2 at σ e^{−r2 h}.

    Three calls a step, one where it goes to σ = 0.
    Lu et al. 2022 (arXiv 2206.00927), Algorithm 2 and, for r1 and r2, Algorithm 5.

    Args:
        r1, r2: where the calls lie in λ, 0 < r1 < r2 ≤ 1; the order is 2 unless r2 = 2/3.

    """
    return solve(x, denoise, levels, noise, single_3(r1, r2), "eps")


def _fast_steps(calls: int, high: float, low: float) -> list[tuple[int, float, float]]:
    """Return (order, σ, σ_next) of steps even in λ, of 3, 3, …, 3, then 2, 1 or what is left."""
    m = calls // 3 + 1
    orders = [3] * (m - 2) + [2, 1] if calls % 3 == 0 else [3] * (m - 1) + [calls % 3]
    at = [high * (low / high) ** (i / m) for i in range(m)] + [low]
    return list(zip(orders, at[:-1], at[1:], strict=True))


def dpm_fast(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    nfe: int | None = None,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Any:
    """DPM-Solver-fast: steps of order 3 even in λ and, for the last calls, of 2 and 1.

    Only the ends of the levels matter: their highest and their lowest above 0.  Levels that end in
    0 spend the last call on D at the lowest.  With eta each step goes down to
    σ_down ≥ σ_min and noise leads up to σ_next again, as in :func:`ancestral`.
    Lu et al. 2022 (arXiv 2206.00927), section 3.4; k-diffusion's sample_dpm_fast.

    Args:
        nfe: network calls in all; None: one for each step of the levels.
        eta: share of the posterior's noise that is drawn afresh.
        s_noise: factor of the noise; with any but 1 the marginals are missed.

    """
    not_negative(eta=eta, s_noise=s_noise)
    if nfe is not None:
        at_least("nfe", nfe, 1)
    to_zero = [sigma for _, sigma in levels.steps(upwards=eta == 0)][-1] == 0
    high, low = float(levels.sigma[0]), float(levels.sigma[levels.sigma > 0][-1])
    calls = (len(levels) if nfe is None else nfe) - to_zero
    if calls < 0 or (calls == 0) != (high == low):
        expected = "1, or None" if high == low else f"at least {1 + to_zero}"
        raise ValueError(f"nfe is {nfe}, expected {expected} on {levels.name}")
    for order, sigma, sigma_next in _fast_steps(calls, high, low) if calls else []:
        down = max(split(sigma, sigma_next, eta)[0], low) if eta > 0 else sigma_next
        rule = ("eps", 0.0, 1.0, True)
        x = stages_of_step(x, denoise, noise, sigma, down, FAST[order], rule)
        if s_noise > 0 and down < sigma_next:
            up = math.sqrt((sigma_next - down) * (sigma_next + down))
            x = x + s_noise * up * noise(sigma, sigma_next)
    return denoise(x, low) if to_zero else x


def _groups(
    levels: Levels, order: int, lower_order_final: bool, upwards: bool
) -> list[list[float]]:
    """Return each step's levels, its ends included: as many intervals as its order."""
    pairs = list(levels.steps(upwards=upwards))
    sigmas = [pairs[0][0], *(sigma for _, sigma in pairs)]
    whole, rest = divmod(len(levels), order)
    found = [order] * whole + [rest] * (rest > 0)
    if lower_order_final and rest == 0 and order > 1:
        found[-1:] = [order - 1, 1]
    if sigmas[-1] == 0 and found[-1] > 1:  # λ is infinite at 0
        found[-1:] = [found[-1] - 1, 1]
    ends = [sum(found[:i]) for i in range(len(found) + 1)]
    return [sigmas[i : j + 1] for i, j in itertools.pairwise(ends)]


def _through(nodes: list[float], solver: str, inner: str) -> ExponentialTableau:
    """Return the method whose stages lie at the nodes."""
    if not nodes:
        return EXPONENTIAL_EULER
    if len(nodes) == 1:
        return single_2(nodes[0], solver)
    return single_3(nodes[0], nodes[1], solver, inner)


def dpm_solver_single(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    order: int = 2,
    predict: str = "x0",
    eta: float = 0.0,
    solver: str = "midpoint",
    inner: str | None = None,
    lower_order_final: bool = True,
    joint: bool = True,
) -> Any:
    """DPM-Solver or DPM-Solver++, singlestep, whose stages lie at the levels themselves.

    A step of order k goes through k levels with one call at each; the last step has what is left,
    and order 1 to σ = 0.  Lu et al. 2022 (arXiv 2206.00927), section 3.4, and 2022
    (arXiv 2211.01095), section 4; diffusers' DPMSolverSinglestep.  At order 3 the default is
    diffusers' rule; that of the paper's Algorithm 2 and of its code is ``inner="heun"``.

    Args:
        order: 1 to 3; third order needs each step's last call near two thirds of it in λ.
        predict: "x0" for DPM-Solver++, "eps" for DPM-Solver.
        eta: scale of the reverse SDE's noise, 1 for SDE-DPM-Solver++.
        solver: "midpoint", or "heun", the polynomial through all the slopes.
        inner: the same for the third stage of order 3; None is the ``solver``'s.
        lower_order_final: end with a step of order 1 also where n is a multiple of the order.
        joint: give the stages of a step one path of noise; else each draws its own, as diffusers'
            do, and the law is approached at first order only.

    """
    in_range("order", order, 3)
    one_of("predict", predict, ("x0", "eps"))
    one_of("solver", solver, ("midpoint", "heun"))
    not_negative(eta=eta)
    inner = solver if inner is None else inner
    for sigma, *between, sigma_next in _groups(levels, order, lower_order_final, eta == 0):
        if sigma_next == 0:
            return denoise(x, sigma)
        h = math.log(sigma / sigma_next)
        tableau = _through([math.log(sigma / level) / h for level in between], solver, inner)
        rule = (predict, eta, 1.0, joint)
        x = stages_of_step(x, denoise, noise, sigma, sigma_next, tableau, rule)
    return x
