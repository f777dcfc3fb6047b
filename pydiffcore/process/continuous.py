# SPDX-License-Identifier: Apache-2.0
"""Processes with closed forms in continuous time: VP, sub-VP, VE, EDM."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pydiffcore.process.core import (
    FloatArray,
    Process,
    as_float64,
    identity,
    ones,
    positive,
    zeros,
)


def _ordered(low_name: str, low: float, high_name: str, high: float) -> tuple[float, float]:
    low, high = positive(low_name, low), positive(high_name, high)
    if low >= high:
        raise ValueError(f"{low_name} must be below {high_name}, got {low!r} and {high!r}")
    return low, high


def _log1p_square(sigma: FloatArray) -> Any:
    # sigma * sigma overflows at 1e154; above 1 the square is taken out of the logarithm.
    small, large = np.minimum(sigma, 1.0), np.maximum(sigma, 1.0)
    above = 2.0 * np.log(large) + np.log1p(large**-2.0)
    return np.where(sigma < 1.0, np.log1p(small * small), above)[()]


@dataclass(frozen=True)
class _LinearBeta:
    """beta(t) = beta_min + t (beta_max - beta_min) and its integral from 0."""

    beta_min: float
    beta_max: float

    def rate(self, t: FloatArray) -> FloatArray:
        return self.beta_min + t * (self.beta_max - self.beta_min)

    def integral(self, t: FloatArray) -> FloatArray:
        return t * (self.beta_min + 0.5 * t * (self.beta_max - self.beta_min))

    def invert(self, total: FloatArray) -> FloatArray:
        # The rationalised root: no cancellation near 0 and valid for a constant beta.
        spread = self.beta_max - self.beta_min
        root = np.sqrt(self.beta_min**2 + 2.0 * spread * total)
        with np.errstate(invalid="ignore"):
            return np.where(np.isinf(total), np.inf, 2.0 * total / (root + self.beta_min))[()]


def _linear_beta(beta_min: float, beta_max: float) -> _LinearBeta:
    low, high = positive("beta_min", beta_min), positive("beta_max", beta_max)
    if high < low:
        raise ValueError(f"beta_max must be at least beta_min = {low!r}, got {high!r}")
    return _LinearBeta(low, high)


def vp(beta_min: float = 0.1, beta_max: float = 20.0) -> Process:
    """Variance-preserving process with linear beta, t in [1e-3, 1].

    With B(t) = integral of beta = (beta_max - beta_min) t^2 / 2 + beta_min t:
    alpha = exp(-B / 2), sigma^2 = 1 - exp(-B), level^2 = exp(B) - 1, f = -beta / 2, g = sqrt(beta).
    The label is 999 t.  Level 0 is at t = 0.

    Args:
        beta_min, beta_max: beta at t = 0 and t = 1, positive.

    Raises:
        ValueError: for a beta that is not positive and finite, or beta_max < beta_min.

    Source: Song et al. 2021 (arXiv 2011.13456), eqs. 11, 29, beta of appendix C; Karras et al. 2022
    (arXiv 2206.00364), table 1.

    """
    beta = _linear_beta(beta_min, beta_max)

    def d_level(t: ArrayLike) -> Any:
        t = as_float64(t)
        total = beta.integral(t)
        with np.errstate(divide="ignore"):
            return 0.5 * beta.rate(t) * np.exp(total) / np.sqrt(np.expm1(total))

    return Process(
        name=f"vp(beta_min={beta.beta_min!r}, beta_max={beta.beta_max!r})",
        alpha=lambda t: np.exp(-0.5 * beta.integral(as_float64(t))),
        sigma=lambda t: np.sqrt(-np.expm1(-beta.integral(as_float64(t)))),
        level=lambda t: np.sqrt(np.expm1(beta.integral(as_float64(t)))),
        time=lambda sigma: beta.invert(_log1p_square(as_float64(sigma))),
        alpha_at=lambda sigma: 1.0 / np.hypot(1.0, as_float64(sigma)),
        d_alpha=lambda t: (
            -0.5 * beta.rate(as_float64(t)) * np.exp(-0.5 * beta.integral(as_float64(t)))
        ),
        d_level=d_level,
        diffusion=lambda t: np.sqrt(beta.rate(as_float64(t))),
        label=lambda t: 999.0 * as_float64(t),
        t_min=1e-3,
        t_max=1.0,
    )


def vp_between(sigma_min: float = 0.02, sigma_max: float = 80.0, epsilon: float = 1e-3) -> Process:
    """vp() whose level is sigma_min at t = epsilon and sigma_max at t = 1.

    beta_max + beta_min = 2 B(1) and (beta_max - beta_min) epsilon^2 / 2 + beta_min epsilon =
    B(epsilon), with B = log(1 + level^2).

    Args:
        sigma_min, sigma_max: levels at the two times.
        epsilon: the first time, in (0, 1).

    Raises:
        ValueError: unless 0 < sigma_min < sigma_max and 0 < epsilon < 1, or where no rising beta
            joins the two.

    Source: Karras et al. 2022 (arXiv 2206.00364), appendix C.3.

    """
    low, high = _ordered("sigma_min", sigma_min, "sigma_max", sigma_max)
    if not 0.0 < epsilon < 1.0:
        raise ValueError(f"epsilon must lie strictly between 0 and 1, got {epsilon!r}")
    total, first = float(_log1p_square(as_float64(high))), float(_log1p_square(as_float64(low)))
    spread = 2.0 * (total - first / epsilon) / (1.0 - epsilon)
    beta_min = total - 0.5 * spread
    if spread < 0.0 or beta_min <= 0.0:
        raise ValueError(
            f"no rising positive beta has level {low!r} at t = {epsilon!r} and {high!r} at t = 1"
        )
    return vp(beta_min, beta_min + spread)


def sub_vp(beta_min: float = 0.1, beta_max: float = 20.0) -> Process:
    """Sub-VP process: the mean of vp(), the noise variance of vp() squared; t in [1e-3, 1].

    alpha = exp(-B / 2), sigma = 1 - exp(-B), level = 2 sinh(B / 2), f = -beta / 2,
    g^2 = beta (1 - exp(-2 B)), with B as in vp().  The label is 999 t.  Level 0 is at t = 0.

    Args:
        beta_min, beta_max: beta at t = 0 and t = 1, positive.

    Raises:
        ValueError: for a beta that is not positive and finite, or beta_max < beta_min.

    Source: Song et al. 2021 (arXiv 2011.13456), eqs. 12, 29.

    """
    beta = _linear_beta(beta_min, beta_max)

    def alpha_at(sigma: ArrayLike) -> Any:
        sigma = as_float64(sigma)
        return 2.0 / (sigma + np.hypot(sigma, 2.0))

    return Process(
        name=f"sub_vp(beta_min={beta.beta_min!r}, beta_max={beta.beta_max!r})",
        alpha=lambda t: np.exp(-0.5 * beta.integral(as_float64(t))),
        sigma=lambda t: -np.expm1(-beta.integral(as_float64(t))),
        level=lambda t: 2.0 * np.sinh(0.5 * beta.integral(as_float64(t))),
        time=lambda sigma: beta.invert(2.0 * np.arcsinh(0.5 * as_float64(sigma))),
        alpha_at=alpha_at,
        d_alpha=lambda t: (
            -0.5 * beta.rate(as_float64(t)) * np.exp(-0.5 * beta.integral(as_float64(t)))
        ),
        d_level=lambda t: beta.rate(as_float64(t)) * np.cosh(0.5 * beta.integral(as_float64(t))),
        diffusion=lambda t: np.sqrt(
            -beta.rate(as_float64(t)) * np.expm1(-2.0 * beta.integral(as_float64(t)))
        ),
        label=lambda t: 999.0 * as_float64(t),
        t_min=1e-3,
        t_max=1.0,
    )


def ve(sigma_min: float = 0.02, sigma_max: float = 100.0, label: str = "log") -> Process:
    """Variance-exploding process with geometric levels, t in [0, 1].

    alpha = 1, level = sigma_min (sigma_max / sigma_min)^t, f = 0, g = level sqrt(2 log(ratio)).
    Level 0 is reached at t = -inf only.

    Args:
        sigma_min, sigma_max: levels at t = 0 and t = 1.
        label: "log" for ln(level / 2) (Karras et al., table 1), "sigma" for the level itself
            (the networks of Song et al.).

    Raises:
        ValueError: unless 0 < sigma_min < sigma_max, or for another label.

    Source: Song et al. 2021 (arXiv 2011.13456), eq. 9, levels of appendix C.

    """
    low, high = _ordered("sigma_min", sigma_min, "sigma_max", sigma_max)
    if label not in ("log", "sigma"):
        raise ValueError(f"label must be 'log' or 'sigma', got {label!r}")
    rate = math.log(high / low)

    def level(t: ArrayLike) -> Any:
        return low * (high / low) ** as_float64(t)

    def time(sigma: ArrayLike) -> Any:
        with np.errstate(divide="ignore"):
            return np.log(as_float64(sigma) / low) / rate

    label_0 = math.log(0.5 * low)
    return Process(
        name=f"ve(sigma_min={low!r}, sigma_max={high!r}, label={label!r})",
        alpha=ones,
        sigma=level,
        level=level,
        time=time,
        alpha_at=ones,
        d_alpha=zeros,
        d_level=lambda t: rate * level(t),
        diffusion=lambda t: math.sqrt(2.0 * rate) * level(t),
        label=level if label == "sigma" else lambda t: label_0 + rate * as_float64(t),
        t_min=0.0,
        t_max=1.0,
    )


def ve_sqrt(sigma_min: float = 0.02, sigma_max: float = 100.0) -> Process:
    """Variance-exploding process whose variance is the time: x_t = x0 + w_t, Brownian motion.

    alpha = 1, level = sqrt(t), f = 0, g = 1.  The label is ln(level / 2).  Level 0 is at t = 0.

    Args:
        sigma_min, sigma_max: levels between which sampling runs by default.

    Raises:
        ValueError: unless 0 < sigma_min < sigma_max.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1, column VE.

    """
    low, high = _ordered("sigma_min", sigma_min, "sigma_max", sigma_max)

    def d_level(t: ArrayLike) -> Any:
        with np.errstate(divide="ignore"):
            return 0.5 / np.sqrt(as_float64(t))

    def label(t: ArrayLike) -> Any:
        with np.errstate(divide="ignore"):
            return np.log(0.5 * np.sqrt(as_float64(t)))

    return Process(
        name=f"ve_sqrt(sigma_min={low!r}, sigma_max={high!r})",
        alpha=ones,
        sigma=lambda t: np.sqrt(as_float64(t)),
        level=lambda t: np.sqrt(as_float64(t)),
        time=lambda sigma: as_float64(sigma) ** 2,
        alpha_at=ones,
        d_alpha=zeros,
        d_level=d_level,
        diffusion=ones,
        label=label,
        t_min=low**2,
        t_max=high**2,
    )


def edm() -> Process:
    """Return the EDM process: time is the level, alpha = 1, level = t, g = sqrt(2 t).

    Sampling runs between the levels 0.002 and 80.  The label is the level; the logarithm that
    EDM's own networks see belongs to their prediction.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1, last column.
    """
    return Process(
        name="edm()",
        alpha=ones,
        sigma=identity,
        level=identity,
        time=identity,
        alpha_at=ones,
        d_alpha=zeros,
        d_level=ones,
        diffusion=lambda t: np.sqrt(2.0 * as_float64(t)),
        label=identity,
        t_min=0.002,
        t_max=80.0,
    )
