# SPDX-License-Identifier: Apache-2.0
"""Annealed Langevin dynamics: the sampler of noise-conditional score networks (NCSN)."""

from __future__ import annotations

import math
from typing import Any

from pydiffcore.levels import Levels

__all__ = ["langevin"]


def langevin(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    step: float = 2e-5,
    repeats: int = 100,
) -> Any:
    """At each level T times x ← x + (α_i/2) s(x) + sqrt(α_i) z with α_i = ε σ_i²/σ_L².

    The score is s = (D − x)/σ²; σ_L is the last level above 0.  Levels that end in 0 finish with
    the denoised state.  Song & Ermon 2019 (arXiv 1907.05600), Algorithm 1; the final denoising is
    Jolicoeur-Martineau et al. 2020 (arXiv 2009.05475).  Code that writes x + α s + sqrt(2α) z
    names half of this ε.

    Args:
        step: ε, the step size at the last level.
        repeats: T, the steps at each level.

    """
    if not (step > 0 and repeats >= 1):
        raise ValueError(f"step is {step}, repeats is {repeats}: expected step > 0, repeats >= 1")
    sigmas = [float(sigma) for sigma in levels.sigma if sigma > 0]
    for sigma in sigmas:
        alpha = step * (sigma / sigmas[-1]) ** 2
        for _ in range(repeats):
            score = (denoise(x, sigma) - x) / sigma**2
            x = x + alpha / 2 * score + math.sqrt(alpha) * noise()
    return denoise(x, sigmas[-1]) if levels.sigma[-1] == 0 else x
