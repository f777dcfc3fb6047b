# SPDX-License-Identifier: Apache-2.0
"""Rectified flow in its own time t = σ/(1 + σ) and scaling X = (1 − t)·x, with x the EDM frame's.

Euler's step there is ``euler`` itself, and the flow Euler scheduler's stochastic form is ``lcm``.
Differences of times are formed from the levels, so that none is lost near t = 1.
"""

from __future__ import annotations

import math
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.levels.core import UNBOUNDED

__all__ = ["flow_euler_ancestral", "flow_heun", "flow_sde"]


def _times(sigma: float, sigma_next: float) -> tuple[float, float, float]:
    """Return t, t' and t − t' = (σ − σ')/((1 + σ)(1 + σ'))."""
    t, t_next = sigma / (1 + sigma), sigma_next / (1 + sigma_next)
    return t, t_next, (sigma - sigma_next) / (1 + sigma) / (1 + sigma_next)


def flow_heun(x: Any, denoise: Any, levels: Levels, noise: Any) -> Any:
    """Heun's method on dX/dt = v = (X − D)/t; the step to t = 0 is Euler's.

    X' = X − (t − t')(v + v')/2.  It is ``pf_heun`` of the flow process, in a form that reaches
    t = 1.  Esser et al. 2024 (arXiv 2403.03206), eq. 1 and 2; the method is Heun's.
    """
    X = x / (1 + float(levels.sigma[0]))
    for sigma, sigma_next in levels.steps():
        t, t_next, h = _times(sigma, sigma_next)
        v = (X - denoise(X * (1 + sigma), sigma)) / t
        X_next = X - h * v
        if sigma_next > 0:
            v_next = (X_next - denoise(X_next * (1 + sigma_next), sigma_next)) / t_next
            X_next = X - h / 2 * (v + v_next)
        X = X_next
    return X * (1 + float(levels.sigma[-1]))


def flow_euler_ancestral(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Any:
    """Euler to a lower time t_down, then noise up to t', which keeps the marginal exact.

    t_down = t'(1 − η(t − t')/t); x' = D + (σ_down/σ)(x − D) + s sqrt(σ'² − σ_down²) z with
    σ_down = t_down/(1 − t_down).  The ancestral form of rectified flow that samplers named ``_RF``
    use; the step is DDIM's (arXiv 2010.02502, eq. 12) with another split of σ'.

    Args:
        eta: 0 is Euler, 1 goes down to t'²/t before noise is added.
        s_noise: deviation of the added noise; other than 1 it misses the marginal.

    """
    if not (0 <= eta <= 1 and s_noise >= 0):
        raise ValueError(f"eta is {eta}, s_noise is {s_noise}: expected eta in [0, 1], s_noise ≥ 0")
    for sigma, sigma_next in levels.steps():
        t, t_next, h = _times(sigma, sigma_next)
        lost = t_next * eta * h / t  # t' − t_down
        rest = 1 / (1 + sigma_next) + lost  # 1 − t_down
        down, gap = (t_next - lost) / rest, lost * (1 + sigma_next) / rest  # gap = σ' − σ_down
        D = denoise(x, sigma)
        x = D + (down / sigma) * (x - D)
        up = s_noise * math.sqrt(gap * (sigma_next + down))
        if up > 0:
            x = x + up * noise(sigma, sigma_next)
    return x


def flow_sde(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    a: float = 0.7,
    sigma_max: float | None = None,
    final_noise: bool = False,
) -> Any:
    """Euler–Maruyama on the flow's SDE: X' = X − h[v + g²/(2t)(X + (1 − t) v)] + g sqrt(h) z.

    v = (X − D)/t, h = t − t', g = a·sqrt(t/(1 − t)) = a·sqrt(σ).  Liu et al. 2025 (Flow-GRPO,
    arXiv 2505.05470), eq. 9 and 10.

    Args:
        a: the noise level; 0 is Euler.
        sigma_max: bound of σ in g, which is infinite at t = 1.  None bounds levels that start there
            by their second, as the paper's code does, and no others.
        final_noise: draw noise in the last step too.

    """
    if sigma_max is None:
        sigma_max = float(levels.sigma[1]) if levels.sigma[0] >= UNBOUNDED else math.inf
    if not (a >= 0 and sigma_max > 0):
        raise ValueError(f"a is {a}, sigma_max is {sigma_max}: expected a ≥ 0 and sigma_max > 0")
    last = float(levels.sigma[-1])
    X = x / (1 + float(levels.sigma[0]))
    for sigma, sigma_next in levels.steps():
        t, _, h = _times(sigma, sigma_next)
        g = a * math.sqrt(min(sigma, sigma_max))
        v = (X - denoise(X * (1 + sigma), sigma)) / t
        X = X - h * v - h * g**2 / (2 * t) * (X + v / (1 + sigma))
        if g > 0 and (final_noise or sigma_next > last):
            X = X + g * math.sqrt(h) * noise(sigma, sigma_next)
    return X * (1 + last)
