# SPDX-License-Identifier: Apache-2.0
"""Churn: noise added before a step, which then goes down from the raised level."""

from __future__ import annotations

import math
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.multistep import not_negative

__all__ = ["alphafold3", "euler_churn", "gamma", "raised", "scaled_euler"]


def gamma(
    sigma: float, levels: Levels, churn: float, s_min: float = 0.0, s_max: float = math.inf
) -> float:
    """Return γ = min(churn/n, √2 − 1) of n steps where σ lies in [s_min, s_max], 0 elsewhere.

    Karras et al. 2022 (arXiv 2206.00364), Algorithm 2, line 3.
    """
    return min(churn / len(levels), math.sqrt(2) - 1) if s_min <= sigma <= s_max else 0.0


def raised(
    x: Any, noise: Any, sigma: float, gamma: float, s_noise: float = 1.0
) -> tuple[Any, float]:
    """Return x + s_noise sqrt(σ̂² − σ²) z and σ̂ = (1 + γ)σ."""
    sigma_hat = sigma * (1 + gamma)
    added = s_noise * sigma * math.sqrt(gamma * (2 + gamma))
    return (x + added * noise(sigma, sigma_hat) if added > 0 else x), sigma_hat


def scaled_euler(x: Any, D: Any, sigma: float, sigma_next: float, step_scale: float) -> Any:
    """Return x + η(σ_next − σ)(x − D)/σ, written as D + (1 − η + η σ_next/σ)(x − D)."""
    return D + (1 - step_scale + step_scale * (sigma_next / sigma)) * (x - D)


def euler_churn(
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
    """Raise the noise to σ̂ = σ(1 + γ), then Euler's step x' = x̂ + η(σ_next − σ̂)(x̂ − D)/σ̂.

    Karras et al. 2022 (arXiv 2206.00364), Algorithm 2 without its second-order correction.

    Args:
        churn: S_churn, γ = min(S_churn/n, √2 − 1) inside [s_min, s_max].
        s_min, s_max: the σ between which noise is added.
        s_noise: S_noise, the deviation of the added noise; other than 1 it misses the marginal.
        step_scale: η, which overshoots above 1, also in a step to σ = 0; see :func:`alphafold3`.

    """
    not_negative(churn=churn, s_noise=s_noise, step_scale=step_scale)
    for sigma, sigma_next in levels.steps(upwards=churn == 0 and step_scale == 1):
        raise_by = gamma(sigma, levels, churn, s_min, s_max)
        x, sigma_hat = raised(x, noise, sigma, raise_by, s_noise)
        x = scaled_euler(x, denoise(x, sigma_hat), sigma_hat, sigma_next, step_scale)
    return x


def alphafold3(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    gamma_0: float = 0.8,
    gamma_min: float = 1.0,
    noise_scale: float = 1.003,
    step_scale: float = 1.5,
) -> Any:
    """AlphaFold 3's sampler: churn by γ_0 where the next level is above γ_min, then a longer step.

    x̂ = x + λ sqrt(σ̂² − σ²) z with σ̂ = (1 + γ)σ; x' = x̂ + η(σ_next − σ̂)(x̂ − D)/σ̂.  The
    published levels are ``levels.karras(200, 4e-4·16, 160·16, final_zero=False)``.  The random
    rotations of x between the steps are not part of it.
    Abramson et al. 2024 (Nature 630), Supplementary Algorithm 18.

    Args:
        gamma_0: γ_0.
        gamma_min: the level above which noise is added, in the units of σ.
        noise_scale: λ, the deviation of the added noise; other than 1 it misses the marginal.
        step_scale: η; other than 1 it misses the marginal, towards less variance above 1.

    """
    not_negative(gamma_0=gamma_0, noise_scale=noise_scale, step_scale=step_scale)
    for sigma, sigma_next in levels.steps():
        raise_by = gamma_0 if sigma_next > gamma_min else 0.0
        x, sigma_hat = raised(x, noise, sigma, raise_by, noise_scale)
        x = scaled_euler(x, denoise(x, sigma_hat), sigma_hat, sigma_next, step_scale)
    return x
