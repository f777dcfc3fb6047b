# SPDX-License-Identifier: Apache-2.0
"""Levels by a distribution or an angle: kl_optimal, laplace, beta_sigmas.

Two pairs of the field share a name.  beta_sigmas puts quantiles of Beta(0.6, 0.6) on sigma itself
(diffusers), beta_timesteps on the indices of a table (ComfyUI).  laplace is the distribution of
log sigma of its paper; the betas that diffusers calls "laplace" are laplace_diffusers_betas.
"""

import math

import numpy as np

from pydiffcore import process as processes
from pydiffcore.levels.core import Levels, assemble, falling, ramp
from pydiffcore.levels.number import ends
from pydiffcore.levels.quantile import beta_quantile
from pydiffcore.process import Process


def kl_optimal(
    n: int,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    process: Process | None = None,
    final_zero: bool = True,
) -> Levels:
    """Levels spaced evenly in arctan(sigma), which bounds the KL divergence least on a Gaussian.

    sigma_i = tan((1 - r) arctan(sigma_max) + r arctan(sigma_min)), for data of unit variance.

    Args:
        n: number of steps; r = i/(n − 1) runs over their levels, or i/n with final_zero=False.
        sigma_min, sigma_max: lowest level above 0 and highest level.
        process: the process the levels belong to; edm() by default.
        final_zero: end at 0 (and count that step) or at sigma_min.

    Raises:
        ValueError: for n < 1 or unless 0 < sigma_min < sigma_max.

    Source: Sabour et al. 2024 (arXiv 2404.14507), theorem 3.1.

    """
    low, high = ends(sigma_min, sigma_max)
    r = ramp(n, final_zero)
    sigma = np.tan((1.0 - r) * math.atan(high) + r * math.atan(low))
    sigma[-1], sigma[0] = low, high
    name = f"kl_optimal(n={n}, sigma_min={low!r}, sigma_max={high!r})"
    return assemble(sigma, final_zero, process or processes.edm(), name)


def laplace(
    n: int,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    mu: float = 0.0,
    beta: float = 0.5,
    process: Process | None = None,
    final_zero: bool = True,
) -> Levels:
    """Levels at evenly spaced quantiles of a Laplace distribution of log sigma.

    sigma_i = exp(mu - beta sign(1/2 - r) log(1 - 2 |1/2 - r| + 1e-5)), clipped to
    [sigma_min, sigma_max].  The paper's b is a scale of log SNR = -2 log sigma: beta = b/2, so that
    b = 0.5 is beta = 0.25; the default is ComfyUI's.  Levels that the clipping makes equal are one
    level: there may be fewer than n steps.

    Args:
        n: number of steps; r = i/(n − 1) runs over their levels, or i/n with final_zero=False.
        sigma_min, sigma_max: the range to clip to; the rule itself spans 0.003 to 316.
        mu: mean of log sigma.
        beta: scale of the distribution, positive.
        process: the process the levels belong to; edm() by default.
        final_zero: end at 0 (and count that step) or at the last level.

    Raises:
        ValueError: for n < 1, beta <= 0, unless 0 < sigma_min < sigma_max, or where nothing of the
            range is left.

    Source: Hang et al. 2024 (arXiv 2407.03297), table 1, with ComfyUI's 1e-5.

    """
    low, high = ends(sigma_min, sigma_max)
    if not (math.isfinite(beta) and beta > 0.0 and math.isfinite(mu)):
        raise ValueError(f"beta must be positive and mu finite, got {beta!r} and {mu!r}")
    side = 0.5 - ramp(n, final_zero)
    log_sigma = mu - beta * np.sign(side) * np.log(1.0 - 2.0 * np.abs(side) + 1e-5)
    sigma = falling(np.clip(np.exp(log_sigma), low, high))
    given = f"mu={float(mu)!r}, beta={float(beta)!r}"
    name = f"laplace(n={n}, sigma_min={low!r}, sigma_max={high!r}, {given})"
    return assemble(sigma, final_zero, process or processes.edm(), name)


def beta_sigmas(
    n: int,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    alpha: float = 0.6,
    beta: float = 0.6,
    process: Process | None = None,
    final_zero: bool = True,
) -> Levels:
    """Levels at quantiles of a Beta distribution over sigma: diffusers' use_beta_sigmas.

    sigma_i = sigma_min + q(1 - r) (sigma_max - sigma_min), q the quantile of
    Beta(alpha, beta).  On sigma itself most of the levels are far above the data; the paper's
    schedule is beta_timesteps().

    Args:
        n: number of steps; r = i/(n − 1) runs over their levels, or i/n with final_zero=False.
        sigma_min, sigma_max: lowest level above 0 and highest level.
        alpha, beta: parameters of the distribution, in (0, 1000].
        process: the process the levels belong to; edm() by default.
        final_zero: end at 0 (and count that step) or at sigma_min.

    Raises:
        ValueError: for n < 1, parameters out of range or unless 0 < sigma_min < sigma_max.

    Source: after Lee et al. 2024 (arXiv 2407.12173), as diffusers has it.

    """
    low, high = ends(sigma_min, sigma_max)
    sigma = low + beta_quantile(1.0 - ramp(n, final_zero), alpha, beta) * (high - low)
    sigma[-1], sigma[0] = low, high
    given = f"alpha={float(alpha)!r}, beta={float(beta)!r}"
    name = f"beta_sigmas(n={n}, sigma_min={low!r}, sigma_max={high!r}, {given})"
    return assemble(sigma, final_zero, process or processes.edm(), name)
