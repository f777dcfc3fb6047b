# SPDX-License-Identifier: Apache-2.0
"""RES, the refined exponential solver, multistep."""

from __future__ import annotations

from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.euler import split
from pydiffcore.samplers.multistep import exponential_step, in_range, not_negative, orders

__all__ = ["res_multistep"]


def res_multistep(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    order: int = 2,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Any:
    """x' = e^{−h} x + h(b_1 D + b_2 D_prev) + σ_up z, b_2 = φ_2(−h)/c, b_1 = φ_1(−h) − b_2.

    c = −h_prev/h is where D_prev lies; h = log(σ/σ_down), and σ_down, σ_up are those of
    :func:`ancestral`.  At eta = 0 and order 2 it is ``dpmpp_2m(solver="heun")``; that the weights
    satisfy the order conditions at every h is the point of Zhang et al. 2023 (arXiv 2308.02157).

    Args:
        order: number of values of D that are used, from 1 to 4.
        eta: share of the posterior's noise that is drawn afresh, as for :func:`ancestral`.  At 1 h
            is about two steps of the levels, and D is extrapolated over it from one step before:
            on few levels that overshoots, where ``dpmpp_2m_sde`` does not.
        s_noise: factor of the noise; with any but 1 the marginals are missed.

    """
    in_range("order", order, 4)
    not_negative(s_noise=s_noise)
    kept: list[tuple[float, Any]] = []
    for k, (sigma, sigma_next) in zip(orders(levels, order), levels.steps(), strict=True):
        down, up = split(sigma, sigma_next, eta)
        D = denoise(x, sigma)
        kept = [(sigma, D), *kept][:order]
        x = exponential_step(x, D, kept[1:k], sigma, down)
        if s_noise * up > 0:
            x = x + s_noise * up * noise(sigma, sigma_next)
    return x
