# SPDX-License-Identifier: Apache-2.0
"""DPM-Solver++, singlestep: two or three calls in a step, with D as the integrand."""

from __future__ import annotations

import math
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.euler import split
from pydiffcore.samplers.exponential import solve, stages_of_step
from pydiffcore.samplers.exponential_tableau import single_2, single_3
from pydiffcore.samplers.multistep import not_negative, one_of

__all__ = ["dpmpp_2s", "dpmpp_2s_ancestral", "dpmpp_3s", "dpmpp_sde"]


def dpmpp_2s(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    r: float = 0.5,
    solver: str = "midpoint",
) -> Any:
    """x' = (σ_next/σ) x + (1 − σ_next/σ)[D + (D_1 − D)/(2r)], D_1 at σ_1 = σ e^{−rh}.

    Two calls a step, one where it goes to σ = 0.  Lu et al. 2022 (arXiv 2211.01095), Algorithm 1.

    Args:
        r: where the second call lies in λ, in (0, 1].
        solver: "midpoint", or "heun", which integrates the line through D and D_1 exactly.

    """
    return solve(x, denoise, levels, noise, single_2(r, solver))


def dpmpp_3s(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    r1: float = 1 / 3,
    r2: float = 2 / 3,
    solver: str = "midpoint",
) -> Any:
    """x' = (σ_next/σ) x + (1 − σ_next/σ) D + hφ_2(−h)/r2 (D_2 − D), D_2 at σ e^{−r2 h}.

    Three calls a step, one where it goes to σ = 0.  DPM-Solver-3 (Lu et al. 2022, arXiv
    2206.00927, Algorithm 2) with D for ε, as in the code of arXiv 2211.01095.

    Args:
        r1, r2: where the calls lie in λ, 0 < r1 < r2 ≤ 1; the order is 2 unless r2 = 2/3.
        solver: "midpoint", or "heun", which integrates the parabola through all three D.

    """
    return solve(x, denoise, levels, noise, single_3(r1, r2, solver))


def dpmpp_2s_ancestral(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
) -> Any:
    """Take a :func:`dpmpp_2s` step to σ_down, then add σ_up z, with σ_down² + σ_up² = σ_next².

    Args:
        eta: share of the posterior's noise that is drawn afresh; 0 is :func:`dpmpp_2s`.
        s_noise: factor of the noise; with any but 1 the marginals are missed.
        r: where the second call lies in λ, in (0, 1].

    """
    not_negative(s_noise=s_noise)
    tableau = single_2(r)
    for sigma, sigma_next in levels.steps():
        down, up = split(sigma, sigma_next, eta)
        if down == 0:
            x = denoise(x, sigma)
        else:
            x = stages_of_step(x, denoise, noise, sigma, down, tableau)
        if s_noise * up > 0:
            x = x + s_noise * up * noise(sigma, sigma_next)
    return x


def _of_whole_step(
    z: Any, noise: Any, at: tuple[float, float, float], joint: bool, clock: str
) -> Any:
    """Return the increment from σ to σ_next that goes with z, that from σ to the middle."""
    sigma, middle, sigma_next = at
    if not joint:
        return noise(sigma, sigma_next)
    share = (sigma - middle) / (sigma - sigma_next)
    if clock == "sde":
        share *= (sigma + middle) / (sigma + sigma_next) * (sigma_next / middle) ** 2
    return math.sqrt(share) * z + math.sqrt(1 - share) * noise(middle, sigma_next)


def dpmpp_sde(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
    joint: bool = True,
    clock: str = "sigma",
) -> Any:
    """DPM-Solver++ SDE: an ancestral step to σ_1 = σ e^{−rh}, then one to σ_next with D and D_1.

    x_1 = D + (down_1/σ)(x − D) + up_1 z_1; x' = M + (down/σ)(x − M) + up z with
    M = D + (D_1 − D)/(2r).  z_1 and z are increments of one Brownian path: z = ρ z_1 +
    sqrt(1 − ρ²) z_2.  A step to σ = 0 returns D.
    Lu et al. 2022 (arXiv 2211.01095), section 5, in the form of k-diffusion's sample_dpmpp_sde.

    Args:
        eta: share of the posterior's noise that is drawn afresh.
        s_noise: factor of the noise; with any but 1 the marginals are missed.
        r: where the second call lies in λ, in (0, 1).
        joint: whether it is one path, or z a draw of its own for the whole step, which is what
            independent draws passed to k-diffusion as its noise_sampler give.  The law is then
            approached at first order, on one path at second.
        clock: the time in which the path is Brownian: "sigma" as k-diffusion's tree, where
            ρ² = (σ − σ_1)/(σ − σ_next), or "sde", 1/σ² as that of the reverse SDE with D constant.

    """
    not_negative(s_noise=s_noise)
    one_of("clock", clock, ("sigma", "sde"))
    if not 0 < r < 1:
        raise ValueError(f"r is {r}, expected a number in (0, 1)")
    noisy = s_noise > 0 and eta > 0
    for sigma, sigma_next in levels.steps():
        D = denoise(x, sigma)
        if sigma_next == 0:
            return D
        middle = sigma ** (1 - r) * sigma_next**r
        down, up = split(sigma, middle, eta)
        z = noise(sigma, middle) if noisy else 0.0
        D_middle = denoise(D + (down / sigma) * (x - D) + s_noise * up * z, middle)
        D = D + (D_middle - D) / (2 * r)
        down, up = split(sigma, sigma_next, eta)
        if noisy:
            z = _of_whole_step(z, noise, (sigma, middle, sigma_next), joint, clock)
        x = D + (down / sigma) * (x - D) + s_noise * up * z
    return x
