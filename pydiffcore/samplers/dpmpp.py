# SPDX-License-Identifier: Apache-2.0
"""DPM-Solver++: exponential integrators in λ = −log σ with D as the integrand."""

from __future__ import annotations

import math
from typing import Any

from pydiffcore.levels import Levels

__all__ = ["dpmpp_2m", "dpmpp_2m_sde"]


def dpmpp_2m(x: Any, denoise: Any, levels: Levels, noise: Any) -> Any:
    """Second-order multistep: x' = (σ_next/σ) x + (1 − σ_next/σ)[D + (D − D_prev)/(2r)].

    r = h_prev/h with h = log(σ/σ_next).  The first step and the step to σ = 0 are first-order.
    Lu et al. 2022 (arXiv 2211.01095), Algorithm 2.
    """
    D_prev, h_prev = None, 0.0
    for sigma, sigma_next in levels.steps():
        D = denoise(x, sigma)
        ratio = sigma_next / sigma
        target = D
        if sigma_next > 0:
            h = math.log(sigma / sigma_next)
            if D_prev is not None:
                target = D + h / (2 * h_prev) * (D - D_prev)
            D_prev, h_prev = D, h
        x = ratio * x + (1 - ratio) * target
    return x


def dpmpp_2m_sde(x: Any, denoise: Any, levels: Levels, noise: Any, *, eta: float = 1.0) -> Any:
    """SDE-DPM-Solver++(2M), midpoint form: as 2M with noise that the exact SDE solution adds.

    x' = (σ_next/σ) e^{−ηh} x + (1 − e^{−h(1+η)})[D + (D − D_prev)/(2r)]
    + σ_next sqrt(1 − e^{−2ηh}) z.  Lu et al. 2022 (arXiv 2211.01095), eq. 19 at η = 1.

    Args:
        eta: scale of the reverse SDE's noise; 0 is :func:`dpmpp_2m`.

    """
    if not eta >= 0:
        raise ValueError(f"eta is {eta}, expected at least 0")
    D_prev, h_prev = None, 0.0
    for sigma, sigma_next in levels.steps():
        D = denoise(x, sigma)
        if sigma_next == 0:
            return D
        h = math.log(sigma / sigma_next)
        target = D
        if D_prev is not None:
            target = D + h / (2 * h_prev) * (D - D_prev)
        x = sigma_next / sigma * math.exp(-eta * h) * x - math.expm1(-h * (1 + eta)) * target
        if eta > 0:
            x = x + sigma_next * math.sqrt(-math.expm1(-2 * eta * h)) * noise(sigma, sigma_next)
        D_prev, h_prev = D, h
    return x
