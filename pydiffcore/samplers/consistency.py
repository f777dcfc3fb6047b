# SPDX-License-Identifier: Apache-2.0
"""Samplers of consistency models: D answers in one step, and more steps noise it again."""

from __future__ import annotations

import math
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.denoise import with_raw

__all__ = ["consistency", "lcm", "tcd"]


def consistency(
    x: Any, denoise: Any, levels: Levels, noise: Any, *, sigma_min: float = 0.002
) -> Any:
    """Multistep consistency sampling: x' = D + sqrt(σ_next² − σ_min²) z.

    A consistency model answers with a sample at σ_min, which is why that much noise is left out;
    a step to σ_min or below returns D.  Song et al. 2023 (arXiv 2303.01469), Algorithm 1.

    Args:
        sigma_min: ε, the lowest level of the model's training.

    """
    if not (math.isfinite(sigma_min) and sigma_min >= 0):
        raise ValueError(f"sigma_min is {sigma_min}, expected a finite number of at least 0")
    for sigma, sigma_next in levels.steps():
        x = denoise(x, sigma)
        if sigma_next > sigma_min:
            added = math.sqrt((sigma_next - sigma_min) * (sigma_next + sigma_min))
            x = x + added * noise(sigma, sigma_next)
    return x


def lcm(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    timestep_scaling: float | None = None,
    sigma_data: float = 0.5,
) -> Any:
    """Latent consistency sampling: x' = f + σ_next z with f = c_out D + c_skip alpha x.

    c_skip = σ_d²/(τ² + σ_d²), c_out = τ/sqrt(τ² + σ_d²), τ = timestep_scaling · label; without a
    scaling f = D, which is also sCM (with ``prediction.trigflow``) and the stochastic form of the
    flow Euler scheduler, (1 − t') D + t' z.  Luo et al. 2023 (arXiv 2310.04378), eq. 9 and
    Algorithm 3; Lu & Song 2025 (arXiv 2410.11081), section 2.

    Args:
        timestep_scaling: of the boundary condition, whose labels and alpha are those of the
            levels' process; 10 in published models.  None: no boundary condition.
        sigma_data: σ_d of the boundary condition.

    """
    for sigma, sigma_next in levels.steps():
        D = denoise(x, sigma)
        if timestep_scaling is not None:
            process = levels.process
            tau = timestep_scaling * float(process.label(process.time(sigma)))
            total = math.hypot(tau, sigma_data)
            skip = (sigma_data / total) ** 2 * float(process.alpha_at(sigma))
            D = (tau / total) * D + skip * x
        x = D if sigma_next == 0 else D + sigma_next * noise(sigma, sigma_next)
    return x


def tcd(x: Any, denoise: Any, levels: Levels, noise: Any, *, eta: float = 0.3) -> Any:
    """Trajectory consistency sampling: DDIM to a lower level σ_s, then noise up to σ_next.

    x' = D + (σ_s/σ)(x − D) + sqrt(σ_next² − σ_s²) z, where σ_s is the level at (1 − η) of
    σ_next's time, rounded down where the process is a table.  Zheng et al. 2024
    (arXiv 2402.19159), Algorithm 4 (strategic stochastic sampling).

    Args:
        eta: the paper's γ in [0, 1]: 0 is DDIM, 1 noises D itself.

    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta is {eta}, expected a number in [0, 1]")
    process = levels.process
    for sigma, sigma_next in levels.steps():
        D, raw = with_raw(denoise, x, sigma)
        lower = sigma_next
        if eta > 0 and sigma_next > 0:
            s = (1 - eta) * float(process.time(sigma_next))
            whole = math.floor(s + 1e-6)  # 0.7 · 700 is an index, 489.99999999999994 is not
            lower = float(process.level(s if process.size is None else whole))
        x = D + (lower / sigma) * (x - raw)
        if lower < sigma_next:
            added = math.sqrt((sigma_next - lower) * (sigma_next + lower))
            x = x + added * noise(sigma, sigma_next)
    return x
