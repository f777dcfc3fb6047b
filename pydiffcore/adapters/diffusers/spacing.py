# SPDX-License-Identifier: Apache-2.0
"""Timesteps and sigmas as diffusers spaces them, NumPy in and out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.levels.quantile import beta_quantile

__all__ = ["checked_choice", "sigma_to_t", "sigmas_of", "spaced", "transformed"]

Array = NDArray[Any]
SPACINGS = "'linspace', 'leading' or 'trailing'"
CURVES = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")


def spaced(config: Mapping[str, Any], n: int, *, whole: bool = True, train: int = 0) -> Array:
    """Return n falling timesteps: whole (int64), or float32 where linspace keeps fractions.

    Raises:
        ValueError: timestep_spacing is none of the three, or its stride is between no timesteps.

    """
    N, spacing = train or config["num_train_timesteps"], config["timestep_spacing"]
    if n == 0 and spacing in ("leading", "trailing"):  # linspace has an empty schedule
        raise ValueError("num_inference_steps is 0, expected at least 1")
    kind: Any = np.int64 if whole else np.float32
    if spacing == "linspace":
        if whole:
            return np.linspace(0, N - 1, n).round()[::-1].astype(kind)
        return np.linspace(0, N - 1, n, dtype=kind)[::-1].copy()
    if spacing == "leading":
        return (np.arange(0, n) * (N // n))[::-1].astype(kind) + kind(config["steps_offset"])
    if spacing == "trailing":
        return np.round(np.arange(N, 0, -N / n)).astype(kind) - kind(1)
    raise ValueError(f"timestep_spacing is {spacing!r}, expected {SPACINGS}")


def sigmas_of(alphas_cumprod: Tensor) -> Array:
    """Return sqrt((1 − ᾱ)/ᾱ) of a table, float32."""
    return np.asarray((((1 - alphas_cumprod) / alphas_cumprod) ** 0.5).cpu().numpy())


def sigma_to_t(sigma: Array, log_sigmas: Array) -> Array:
    """Return the fractional indices at which a table of ascending ln σ has the levels."""
    log = np.log(np.maximum(sigma, 1e-10))
    low = np.clip(np.searchsorted(log_sigmas, log, side="right") - 1, 0, len(log_sigmas) - 2)
    below, above = log_sigmas[low], log_sigmas[low + 1]
    w = np.clip((below - log) / (below - above), 0, 1)
    return np.asarray((1 - w) * low + w * (low + 1))


def karras(low: float, high: float, n: int, rho: float = 7.0) -> Array:
    """Levels even in σ^(1/ρ): Karras et al. 2022 (arXiv 2206.00364), eq. 5."""
    a, b = low ** (1 / rho), high ** (1 / rho)
    return np.asarray((b + np.linspace(0, 1, n) * (a - b)) ** rho)


def exponential(low: float, high: float, n: int) -> Array:
    """Levels even in ln σ."""
    return np.exp(np.linspace(math.log(high), math.log(low), n))


def beta(low: float, high: float, n: int) -> Array:
    """Levels at quantiles of Beta(0.6, 0.6): after Lee et al. 2024 (arXiv 2407.12173)."""
    return low + beta_quantile(1 - np.linspace(0, 1, n), 0.6, 0.6) * (high - low)


def transformed(config: Mapping[str, Any], sigmas: Array, n: int) -> Array | None:
    """Return n levels of the curve that the configuration asks for, or None: it asks for none.

    Args:
        config: use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas; sigma_min, sigma_max.
        sigmas: falling; its ends are the curve's where the configuration has none.
        n: number of levels.

    """
    low, high = config.get("sigma_min"), config.get("sigma_max")
    low = float(sigmas[-1]) if low is None else low
    high = float(sigmas[0]) if high is None else high
    for name, curve in zip(CURVES, (karras, exponential, beta), strict=True):
        if config.get(name):
            return curve(low, high, n)
    return None


def checked_choice(config: Mapping[str, Any]) -> None:
    """Refuse a configuration that asks for two curves at once.

    Raises:
        ValueError: more than one of the three is set.

    """
    if sum(bool(config.get(name)) for name in CURVES) > 1:
        raise ValueError(f"only one of {', '.join(CURVES)} can be used")
