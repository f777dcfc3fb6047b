# SPDX-License-Identifier: Apache-2.0
"""Predictor–corrector sampling: Langevin steps at each level between the steps from level to level.

The correctors of the score-SDE code whose step follows from the norms of score and noise,
averaged over the batch (``snr``), are not here: a sample would then depend on its neighbours in
the batch, and no table could hold the step.  A fixed step, relative to σ², does the same work;
``delta = 2·snr²`` is that code's annealed corrector (``ald``) where alpha = 1; on VP that code
multiplies by 1 − β_i as well.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from pydiffcore.levels import Levels
from pydiffcore.samplers.euler import split
from pydiffcore.samplers.multistep import at_least

__all__ = ["predictor_corrector"]


class Step(NamedTuple):
    """From one level to the next, with the process's signal scales at both."""

    sigma: float
    sigma_next: float
    alpha: float
    alpha_next: float

    @property
    def preserves_variance(self) -> bool:
        """Whether alpha²(1 + σ²) = 1 at both, as VP has it."""
        pairs = ((self.alpha, self.sigma), (self.alpha_next, self.sigma_next))
        return all(a < 1 and abs(a * math.hypot(1, sigma) - 1) < 1e-9 for a, sigma in pairs)


def _euler(x: Any, D: Any, step: Step) -> tuple[Any, float]:
    return D + (step.sigma_next / step.sigma) * (x - D), 0.0


def _ancestral(x: Any, D: Any, step: Step) -> tuple[Any, float]:
    """Song et al. 2021, eq. 4 on VP, whose noise has the variance β, and eq. 47 elsewhere."""
    down, up = split(step.sigma, step.sigma_next, 1.0)
    if step.sigma_next > 0 and step.preserves_variance:
        up *= step.sigma / step.sigma_next * step.alpha / step.alpha_next
    return D + (down / step.sigma) * (x - D), up


def _reverse_diffusion(x: Any, D: Any, step: Step) -> tuple[Any, float]:
    """Song et al. 2021, eq. 46, divided by the signal scale at σ_next."""
    r = step.alpha / step.alpha_next
    lost = (step.sigma - step.sigma_next) * (step.sigma + step.sigma_next)
    up = r * math.sqrt(lost) if step.sigma_next > 0 else 0.0
    return r * ((2 - r) * x + lost / step.sigma**2 * (D - x)), up


def _none(x: Any, D: Any, step: Step) -> tuple[Any, float]:
    return (x if step.sigma_next > 0 else D), 0.0


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
    final_noise: bool = False,
) -> Any:
    """At each level Langevin steps x ← x + δ(D − x) + sqrt(2δ) σ z, then the predictor's step.

    The corrector is x + τ s + sqrt(2τ) z with the score s = (D − x)/σ² and τ = δσ², which is the
    same in every scaling.  Song et al. 2021 (arXiv 2011.13456), Algorithms 2 and 3; the corrector
    comes first, as in the authors' code, so that a result at σ = 0 is denoised.

    Args:
        predictor: "reverse_diffusion" (eq. 46, in the scaling of the levels' process),
            "ancestral" (eq. 4 on VP levels, with the variance β, and eq. 47 on others), "euler",
            or "none", which leaves all to the corrector and denoises at the step to σ = 0.
        corrections: Langevin steps per level; 0 leaves all to the predictor.
        delta: δ, their size relative to σ², in (0, 1).
        final_noise: let the last predictor draw too; the paper's code leaves it out.

    """
    if predictor not in PREDICTORS:
        raise ValueError(f"predictor is {predictor!r}, expected one of {', '.join(PREDICTORS)}")
    at_least("corrections", corrections, 0)
    if not 0 < delta < 1:
        raise ValueError(f"delta is {delta}, expected a number in (0, 1); corrections=0 for none")
    alpha = [float(each) for each in levels.alpha]
    for i, (sigma, sigma_next) in enumerate(levels.steps()):
        for _ in range(corrections):
            D = denoise(x, sigma)
            x = x + delta * (D - x) + math.sqrt(2 * delta) * sigma * noise()
        step = Step(sigma, sigma_next, alpha[i], alpha[i + 1])
        x, up = PREDICTORS[predictor](x, denoise(x, sigma), step)
        if up > 0 and (final_noise or i + 1 < len(levels)):
            x = x + up * noise(sigma, sigma_next)
    return x
