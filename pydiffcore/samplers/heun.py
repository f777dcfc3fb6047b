# SPDX-License-Identifier: Apache-2.0
"""Heun's method with churn: the stochastic sampler of the EDM paper."""

from __future__ import annotations

import math
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.churn import gamma, raised, scaled_euler
from pydiffcore.samplers.multistep import not_negative

__all__ = ["heun", "heun_step"]


def heun_step(
    x: Any, denoise: Any, sigma: float, sigma_next: float, step_scale: float = 1.0
) -> Any:
    """Return x + η(σ_next − σ)(d + d_next)/2, d_next after Euler's step; Euler's alone to σ = 0."""
    D = denoise(x, sigma)
    if sigma_next == 0:
        return scaled_euler(x, D, sigma, 0.0, step_scale)
    x_next = D + (sigma_next / sigma) * (x - D)
    d = (x - D) / sigma
    d_next = (x_next - denoise(x_next, sigma_next)) / sigma_next
    return x + step_scale * (sigma_next - sigma) / 2 * (d + d_next)


def heun(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    churn: float = 0.0,
    s_min: float = 0.0,
    s_max: float = math.inf,
    s_noise: float = 1.0,
    step_scale: float = 1.0,
) -> Any:
    """Raise the noise to σ̂ = σ(1 + γ), then one step of Heun's method from σ̂ to σ_next.

    Karras et al. 2022 (arXiv 2206.00364), Algorithm 2 (Algorithm 1 where churn is 0); the step
    to σ = 0 is Euler's, so n levels cost 2n − 1 network calls.

    Args:
        churn: S_churn, γ = min(S_churn/n, √2 − 1) inside [s_min, s_max].
        s_min, s_max: the σ between which noise is added.
        s_noise: S_noise, the deviation of the added noise; other than 1 it misses the marginal.
        step_scale: factor of the step, not of the one to where the second slope is taken; other
            than 1 it misses the marginal.

    """
    not_negative(churn=churn, s_noise=s_noise, step_scale=step_scale)
    for sigma, sigma_next in levels.steps(upwards=churn == 0 and step_scale == 1):
        raise_by = gamma(sigma, levels, churn, s_min, s_max)
        x, sigma_hat = raised(x, noise, sigma, raise_by, s_noise)
        x = heun_step(x, denoise, sigma_hat, sigma_next, step_scale)
    return x
