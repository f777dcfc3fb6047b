# SPDX-License-Identifier: Apache-2.0
"""Restart: deterministic steps down, with jumps back up to higher noise."""

from __future__ import annotations

import math
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.heun import heun_step
from pydiffcore.samplers.multistep import not_negative

__all__ = ["restart"]


def restart(x: Any, denoise: Any, levels: Levels, noise: Any, *, s_noise: float = 1.0) -> Any:
    """Heun's method where levels fall; where they rise, x' = x + sqrt(σ_next² − σ²) z.

    ``levels.restart`` makes levels that rise.  Xu et al. 2023 (arXiv 2306.14878), eq. 5 and
    Algorithm 1.

    Args:
        s_noise: deviation of the added noise; other than 1 it misses the marginal.

    """
    not_negative(s_noise=s_noise)
    for sigma, sigma_next in levels.jumps():
        if sigma_next < sigma:
            x = heun_step(x, denoise, sigma, sigma_next)
        elif s_noise > 0:
            added = s_noise * math.sqrt((sigma_next - sigma) * (sigma_next + sigma))
            x = x + added * noise(sigma, sigma_next)
    return x
