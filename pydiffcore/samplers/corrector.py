# SPDX-License-Identifier: Apache-2.0
"""Predictor–corrector sampling: Langevin steps at each level between the steps from level to level.

The correctors of the score-SDE code whose step follows from the norms of score and noise,
averaged over the batch (``snr``), are not here: a sample would then depend on its neighbours in
the batch, and no table could hold the step.  A fixed step, relative to σ², does the same work;
``delta = 2·snr²`` is that code's annealed corrector (``ald``).
"""

from __future__ import annotations

import math
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.euler import split

__all__ = ["predictor_corrector"]


def _euler(x: Any, D: Any, sigma: float, sigma_next: float, r: float) -> tuple[Any, float]:
    return D + (sigma_next / sigma) * (x - D), 0.0


def _ancestral(x: Any, D: Any, sigma: float, sigma_next: float, r: float) -> tuple[Any, float]:
    down, up = split(sigma, sigma_next, 1.0)
    return D + (down / sigma) * (x - D), up


def _reverse_diffusion(
    x: Any, D: Any, sigma: float, sigma_next: float, r: float
) -> tuple[Any, float]:
    """Song et al. 2021, eq. 46, divided by the signal scale at σ_next; r = alpha/alpha_next."""
    lost = (sigma - sigma_next) * (sigma + sigma_next)
    up = r * math.sqrt(lost) if sigma_next > 0 else 0.0
    return r * ((2 - r) * x + lost / sigma**2 * (D - x)), up


def _none(x: Any, D: Any, sigma: float, sigma_next: float, r: float) -> tuple[Any, float]:
    return (x if sigma_next > 0 else D), 0.0


PREDICTORS = {
    "ancestral": _ancestral,
    "euler": _euler,
    "none": _none,
    "reverse_diffusion": _reverse_diffusion,
}


def predictor_corrector(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    predictor: str = "reverse_diffusion",
    corrections: int = 1,
    delta: float = 0.01,
) -> Any:
    """At each level Langevin steps x ← x + δ(D − x) + sqrt(2δ) σ z, then the predictor's step.

    The corrector is x + τ s + sqrt(2τ) z with the score s = (D − x)/σ² and τ = δσ², which is the
    same in every scaling.  Song et al. 2021 (arXiv 2011.13456), Algorithms 2 and 3; the corrector
    comes first, as in the authors' code, so that a result at σ = 0 is denoised.

    Args:
        predictor: "reverse_diffusion" (eq. 46, in the scaling of the levels' process),
            "ancestral", "euler", or "none", which leaves all to the corrector and denoises at
            the step to σ = 0.
        corrections: Langevin steps per level.
        delta: δ, their size relative to σ², in [0, 1).

    """
    if predictor not in PREDICTORS:
        raise ValueError(f"predictor is {predictor!r}, expected one of {', '.join(PREDICTORS)}")
    if not (corrections >= 0 and 0 < delta < 1):
        raise ValueError(f"corrections is {corrections}, delta is {delta}: expected ≥ 0, in (0, 1)")
    alpha = levels.process.alpha_at
    for sigma, sigma_next in levels.steps():
        for _ in range(corrections):
            D = denoise(x, sigma)
            x = x + delta * (D - x) + math.sqrt(2 * delta) * sigma * noise()
        r = float(alpha(sigma)) / float(alpha(sigma_next))
        x, up = PREDICTORS[predictor](x, denoise(x, sigma), sigma, sigma_next, r)
        if up > 0:
            x = x + up * noise(sigma, sigma_next)
    return x
