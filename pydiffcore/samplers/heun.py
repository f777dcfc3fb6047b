# SPDX-License-Identifier: Apache-2.0
"""Heun's method with churn: the stochastic sampler of the EDM paper."""

from __future__ import annotations

import math
from typing import Any

from pydiffcore.levels import Levels

__all__ = ["heun"]


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
) -> Any:
    """Raise the noise to σ̂ = σ(1 + γ), then one step of Heun's method from σ̂ to σ_next.

    Karras et al. 2022 (arXiv 2206.00364), Algorithm 2 (Algorithm 1 where churn is 0); the step
    to σ = 0 is Euler's, so n levels cost 2n − 1 network calls.

    Args:
        churn: S_churn, γ = min(S_churn/n, √2 − 1) inside [s_min, s_max].
        s_min, s_max: the σ between which noise is added.
        s_noise: S_noise, the deviation of the added noise; other than 1 it misses the marginal.

    """
    if not (churn >= 0 and s_noise >= 0):
        raise ValueError(f"churn is {churn}, s_noise is {s_noise}: expected at least 0")
    for sigma, sigma_next in levels.steps():
        gamma = min(churn / len(levels), math.sqrt(2) - 1) if s_min <= sigma <= s_max else 0.0
        sigma_hat = sigma * (1 + gamma)
        if gamma > 0:
            x = x + s_noise * math.sqrt(sigma_hat**2 - sigma**2) * noise(sigma, sigma_hat)
        D = denoise(x, sigma_hat)
        x_next = D + (sigma_next / sigma_hat) * (x - D)  # Euler's step
        if sigma_next > 0:
            d = (x - D) / sigma_hat
            d_next = (x_next - denoise(x_next, sigma_next)) / sigma_next
            x_next = x + (sigma_next - sigma_hat) / 2 * (d + d_next)
        x = x_next
    return x
