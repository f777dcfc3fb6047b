# SPDX-License-Identifier: Apache-2.0
"""Annealed Langevin dynamics: the sampler of noise-conditional score networks (NCSN)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pydiffcore.levels import Levels
from pydiffcore.samplers.multistep import at_least

__all__ = ["langevin", "ncsnv2_step"]


def langevin(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    step: float = 2e-5,
    repeats: int = 100,
    convention: str = "ncsn",
    denoise_last: bool | None = None,
) -> Any:
    """At each level T times x ← x + (α_i/2) s(x) + sqrt(α_i) z with α_i = ε σ_i²/σ_L².

    The score is s = (D − x)/σ²; σ_L is the last level above 0.  The NCSNv2 convention writes
    x + α_i s + sqrt(2 α_i) z: twice this ε.  Song & Ermon 2019 (arXiv 1907.05600), Algorithm 1;
    2020 (arXiv 2006.09011), Algorithm 1; the final denoising is Jolicoeur-Martineau et al. 2020
    (arXiv 2009.05475).

    Args:
        step: ε, the step size at the last level, below 4σ_L² (NCSNv2: 2σ_L²), where steps diverge.
        repeats: T, the steps at each level.
        convention: what ε means, "ncsn" or "ncsnv2".
        denoise_last: finish with D, a further call at σ_L; None: where the levels end in 0.

    """
    at_least("repeats", repeats, 1)
    if not step > 0:
        raise ValueError(f"step is {step}, expected a number above 0")
    if convention not in ("ncsn", "ncsnv2"):
        raise ValueError(f"convention is {convention!r}, expected 'ncsn' or 'ncsnv2'")
    sigmas = [float(sigma) for sigma in levels.sigma if sigma > 0]
    relative = step / sigmas[-1] ** 2 * (2 if convention == "ncsnv2" else 1)
    if relative >= 4:  # x − D is multiplied by 1 − relative/2
        raise ValueError(
            f"step is {step}, {step / sigmas[-1] ** 2:.3g} times σ_L² of {levels.name}: such steps "
            f"diverge; expected less than {4 * step / relative:.3g}"
        )
    for sigma in sigmas:
        for _ in range(repeats):
            D = denoise(x, sigma)
            x = x + relative / 2 * (D - x) + math.sqrt(relative) * sigma * noise()
    ends_in_zero = bool(levels.sigma[-1] == 0)
    return denoise(x, sigmas[-1]) if denoise_last or (denoise_last is None and ends_in_zero) else x


def ncsnv2_step(levels: Levels, repeats: int) -> float:
    """Return NCSNv2's ε: the one whose T steps bring the noise of each level nearest to σ_i.

    With e = ε/σ_L², γ = σ_{i−1}/σ_i and the stationary ratio r = 2/(2 − e), a level's variance
    ends at σ_i² times (1 − e)^{2T} (γ² − r) + r for data without spread; ε brings the mean of its
    distance from 1 to the least.  Song & Ermon 2020 (arXiv 2006.09011), Technique 4, eq. 4.

    Args:
        levels: at least two above 0; unless they are geometric, γ differs from level to level.
        repeats: T, the steps at each level.

    """
    sigma = levels.sigma[levels.sigma > 0]
    at_least("repeats", repeats, 1)
    if len(sigma) < 2:
        raise ValueError(f"levels has {len(sigma)} above 0, expected at least 2")
    gamma2 = (sigma[:-1] / sigma[1:])[:, None] ** 2
    low, high = 1e-12, 0.999
    for _ in range(6):  # the distance falls with e and then rises: narrow a grid around its least
        e = np.geomspace(low, high, 401)
        ratio = 2 / (2 - e)
        distance = np.abs((1 - e) ** (2 * repeats) * (gamma2 - ratio) + ratio - 1).mean(axis=0)
        best = int(np.argmin(distance))
        low, high = e[max(best - 1, 0)], e[min(best + 1, 400)]
    return float(e[best] * sigma[-1] ** 2)
