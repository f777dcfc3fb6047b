# SPDX-License-Identifier: Apache-2.0
"""Heun++: the slopes of up to three levels, averaged with weights that follow the levels."""

from __future__ import annotations

import math
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.churn import gamma, raised
from pydiffcore.samplers.multistep import not_negative

__all__ = ["heunpp2"]


def heunpp2(
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
    """Step with x' = x̂ + (σ_next − σ̂)[(1 − Σ_j w_j) d + Σ_j w_j d_j], w_j = σ_{i+j}/(m σ_0).

    d_j are slopes at the next m − 1 levels, reached by Euler steps; m is 3, but 2 in the last but
    one step and 1 (Euler) in the last.  Since w_j vanishes where σ is far below σ_0, it is Euler's
    method there, and of order 1.  Published as code alone: Carzit, sd-webui-samplers-scheduler
    (2023).

    Args:
        churn, s_min, s_max, s_noise: as for :func:`heun`.

    """
    not_negative(churn=churn, s_noise=s_noise)
    sigmas = levels.sigma.tolist()
    for i, (sigma, sigma_next) in enumerate(levels.steps()):
        x, at = raised(x, noise, sigma, gamma(sigma, levels, churn, s_min, s_max), s_noise)
        state, D = x, denoise(x, at)
        ahead = sigmas[i + 1 : -1][:2]
        x_next = D + (sigma_next / at) * (x - D)
        d, step = (x - D) / at, sigma_next - at
        for level in ahead:
            state = D + (level / at) * (state - D)
            D, at = denoise(state, level), level
            w = level / (len(ahead) + 1) / sigmas[0]
            x_next = x_next + w * step * ((state - D) / level - d)
        x = x_next
    return x
