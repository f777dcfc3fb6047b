# SPDX-License-Identifier: Apache-2.0
"""First-order samplers: Euler, which is DDIM, and its stochastic forms, which are DDPM."""

from __future__ import annotations

import math
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.denoise import spread, with_raw

__all__ = ["ancestral", "ddim", "ddpm", "euler"]


def euler(x: Any, denoise: Any, levels: Levels, noise: Any) -> Any:
    """Euler's method for dx/dσ = (x − D)/σ: x' = x + (σ_next − σ)(x − D)/σ.

    Written as D + (σ_next/σ)(x − D), which loses no digits when σ_next is far below σ.
    Karras et al. 2022 (arXiv 2206.00364), eq. 4; with σ = sigma/alpha it is DDIM at eta = 0.
    """
    for sigma, sigma_next in levels.steps(upwards=True):
        D = denoise(x, sigma)
        x = D + (sigma_next / sigma) * (x - D)
    return x


def split(sigma: float, sigma_next: float, eta: float, s_noise: float = 1.0) -> tuple[float, float]:
    """Return (σ_down, s_noise·σ_up), σ_down² + σ_up² = σ_next², σ_up the posterior's deviation.

    σ_up = eta·σ_next·sqrt(σ² − σ_next²)/σ: DDIM's eq. 16 (arXiv 2010.02502) in the EDM frame.
    """
    for name, value in (("eta", eta), ("s_noise", s_noise)):
        if not value >= 0:
            raise ValueError(f"{name} is {value}, expected at least 0")
    up = eta * sigma_next * math.sqrt((sigma - sigma_next) * (sigma + sigma_next)) / sigma
    if up > sigma_next:
        raise ValueError(
            f"eta is {eta}: the noise {up} exceeds the level {sigma_next} it must reach"
        )
    left = (1 - eta) * (1 + eta) + (eta * sigma_next / sigma) ** 2  # σ_next² − up² would cancel
    return sigma_next * math.sqrt(max(left, 0.0)), s_noise * up


def ancestral(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Any:
    """Ancestral sampling: x' = D + (σ_down/σ)(x − D) + s_noise·σ_up·z, DDPM's posterior at eta = 1.

    Ho et al. 2020 (arXiv 2006.11239), eq. 6 and 7 with the variance β̃.

    Args:
        eta: share of the posterior's noise that is drawn afresh; 0 is Euler.
        s_noise: factor of the noise; with any but 1 the marginals are missed.

    """
    for sigma, sigma_next in levels.steps():
        down, up = split(sigma, sigma_next, eta, s_noise)
        D = denoise(x, sigma)
        x = D + (down / sigma) * (x - D)
        if up > 0:
            x = x + up * noise(sigma, sigma_next)
    return x


def ddim(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Any:
    """DDIM: x' = D + σ_down·ε + s_noise·σ_up·z with ε the noise that the network itself predicted.

    It differs from :func:`ancestral` only where D is clipped: ε keeps the unclipped D.
    Song et al. 2021 (arXiv 2010.02502), eq. 12 and 16.

    Args:
        eta: 0 is deterministic, 1 has DDPM's variance β̃.
        s_noise: factor of the noise; with any but 1 the marginals are missed.

    """
    for sigma, sigma_next in levels.steps():
        down, up = split(sigma, sigma_next, eta, s_noise)
        D, raw = with_raw(denoise, x, sigma)
        x = D + (down / sigma) * (x - raw)
        if up > 0:
            x = x + up * noise(sigma, sigma_next)
    return x


def ddpm(x: Any, denoise: Any, levels: Levels, noise: Any, *, variance: str = "small") -> Any:
    """DDPM's reverse chain: the posterior's mean, with its variance β̃ or the larger β.

    x' = D + (σ_next/σ)²(x − D) + s·z; s = σ_next·sqrt(σ² − σ_next²)/σ for "small" and
    s = sqrt((σ² − σ_next²)(1 + σ_next²)/(1 + σ²)) for "large", β of the VP frame; between the two,
    s = small^(1 − f) large^f with f = (v + 1)/2, for "learned_range".
    Ho et al. 2020 (arXiv 2006.11239), eq. 7 and section 3.2; Nichol & Dhariwal 2021
    (arXiv 2102.09672), eq. 15.

    Args:
        variance: "small" (β̃), "large" (β), or "learned_range": v is the second half of the
            channels of a ``Denoiser(learned_variance=True)``.  The step to σ = 0 draws nothing.

    """
    if variance not in ("small", "large", "learned_range"):
        raise ValueError(f"variance is {variance!r}, expected 'small', 'large' or 'learned_range'")
    for sigma, sigma_next in levels.steps():
        ratio = sigma_next / sigma
        D = denoise(x, sigma)
        x = D + ratio**2 * (x - D)
        if sigma_next > 0:
            gap = math.sqrt((sigma - sigma_next) * (sigma + sigma_next))
            small = gap * ratio
            large = gap * math.sqrt((1 + sigma_next**2) / (1 + sigma**2))
            z = noise(sigma, sigma_next)
            if variance == "learned_range":
                x = x + spread(denoise, z, small, large)
            else:
                x = x + (small if variance == "small" else large) * z
    return x
