# SPDX-License-Identifier: Apache-2.0
"""Reverse-time SDE samplers in the process's own scaling X = alpha·x.

dX = [f X − g² ∇log p_t(X)] dt + g dw backwards in t, with the score (alpha·D − X)/sigma².
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.process import Process

__all__ = ["euler_maruyama", "reverse_diffusion"]


def times(levels: Levels, process: Process) -> list[tuple[float, float]]:
    """Return the pairs (t, s) of the process's times at the levels' steps."""
    found = [float(t) for t in process.time(levels.sigma)]
    if not all(math.isfinite(t) for t in found):
        raise ValueError(
            f"levels reach sigma = {levels.sigma[-1]}, which {process.name} has at no finite time: "
            "make them with final_zero=False"
        )
    return list(itertools.pairwise(found))


def euler_maruyama(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    process: Process,
    final_noise: bool = False,
) -> Any:
    """X' = X − (f X − g² score)(t − s) + g sqrt(t − s) z, all at t.

    Song et al. 2021 (arXiv 2011.13456), section 4.1 and Appendix D.

    Args:
        process: gives alpha, f = drift and g = diffusion.
        final_noise: draw noise in the last step too; the paper's code leaves it out.

    """
    alpha, steps = process.alpha, times(levels, process)
    X = float(alpha(steps[0][0])) * x
    for i, (t, s) in enumerate(steps):
        a, sigma = float(alpha(t)), float(process.level(t))
        f, g, dt = float(process.drift(t)), float(process.diffusion(t)), t - s
        score = (a * denoise(X / a, sigma) - X) / (a * sigma) ** 2
        X = X - dt * (f * X - g**2 * score)
        if final_noise or i + 1 < len(steps):
            X = X + g * math.sqrt(dt) * noise()
    return X / float(alpha(steps[-1][1]))


def reverse_diffusion(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    process: Process,
    final_noise: bool = False,
) -> Any:
    """Discretise the reverse SDE as the forward chain is: X' = (2 − r) X + G² score + G z.

    r = alpha_t/alpha_s is the forward chain's own factor and G² = sigma_t² − r² sigma_s² the
    noise that it adds: for VP r = sqrt(1 − β) and G² = β, for VE r = 1 and G² = σ_t² − σ_s².
    Song et al. 2021 (arXiv 2011.13456), eq. 46 and Appendix E.

    Args:
        process: gives alpha and sigma.
        final_noise: draw noise in the last step too; the paper's code leaves it out.

    """
    steps = list(levels.steps())
    at = [float(process.alpha_at(sigma)) for sigma in levels.sigma]
    X = at[0] * x
    for i, (sigma, sigma_next) in enumerate(steps):
        r = at[i] / at[i + 1]
        G2 = at[i] ** 2 * (sigma - sigma_next) * (sigma + sigma_next)
        score = (at[i] * denoise(X / at[i], sigma) - X) / (at[i] * sigma) ** 2
        X = (2 - r) * X + G2 * score
        if final_noise or i + 1 < len(steps):
            X = X + math.sqrt(G2) * noise()
    return X / at[-1]
