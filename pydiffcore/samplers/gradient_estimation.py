# SPDX-License-Identifier: Apache-2.0
"""Gradient estimation: a step along the noise of now and before, extrapolated."""

from __future__ import annotations

import math
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.multistep import not_negative

__all__ = ["gradient_estimation"]


def gradient_estimation(
    x: Any, denoise: Any, levels: Levels, noise: Any, *, gamma: float = 2.0, mu: float = 0.0
) -> Any:
    """x' = x + (σ_p − σ)(γ ε + (1 − γ) ε_prev) + sqrt(σ_next² − σ_p²) z, ε = (x − D)/σ.

    σ_p solves σ_next = σ^μ σ_p^{1−μ}.  (γ, μ) = (1, 0) is DDIM, (1, ½) DDPM and (2, 0) the paper's
    accelerated sampler; where both γ ≠ 1 and μ > 0 the noise that ε_prev has not seen makes the
    state noisier than its level.  The step to σ = 0 returns D.  Permenter & Yuan 2023
    (arXiv 2306.04848), section 5; μ is that of their library smalldiffusion.

    Args:
        gamma: weight of the newest ε, 1 − gamma that of the one before.
        mu: from 0, without noise, to below 1.

    """
    not_negative(gamma=gamma, mu=mu)
    if mu >= 1:
        raise ValueError(f"mu is {mu}, expected below 1")
    before: Any = None
    for sigma, sigma_next in levels.steps():
        D = denoise(x, sigma)
        if sigma_next == 0:
            return D
        eps = (x - D) / sigma
        down = sigma_next * (sigma_next / sigma) ** (mu / (1 - mu))
        x = D + (down / sigma) * (x - D)
        if before is not None:
            x = x + (down - sigma) * (gamma - 1) * (eps - before)
        if mu > 0:
            up = math.sqrt((sigma_next - down) * (sigma_next + down))
            x = x + up * noise(sigma, sigma_next)
        before = eps
    return x
