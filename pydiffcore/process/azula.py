# SPDX-License-Identifier: Apache-2.0
"""The processes of the azula library: the clean end keeps a little noise, sigma(0) = sigma_min.

alpha(0) = 1, alpha(1) = alpha_min.  Before t = 0, where azula has nothing, the level falls linearly
to 0 at t = -1 with alpha = 1, so that level 0 has a time.  Sampling runs in t from 1 to 0; the
label is ln(level).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pydiffcore.process.core import Curve, FloatArray, Process, as_float64, positive

Part = Callable[[FloatArray], Any]


def azula_vp(alpha_min: float = 1e-3, sigma_min: float = 1e-3) -> Process:
    """Azula's VP process: alpha = alpha_min^(t^2), sigma^2 = 1 - alpha^2 + sigma_min^2.

    It is vp() with beta proportional to t, and with noise at t = 0.

    Args:
        alpha_min: signal scale at t = 1, below 1.
        sigma_min: noise scale at t = 0, below 1.

    Raises:
        ValueError: for a scale outside (0, 1).

    Source: azula, VPSchedule.

    """
    a, s = _scales(alpha_min, sigma_min)
    rate = math.log(a)

    def alpha(t: FloatArray) -> FloatArray:
        return np.exp(rate * t * t)

    def time(sigma: FloatArray) -> FloatArray:
        # -2 log(alpha) = log((1 + sigma^2) / (1 + s^2)), the square kept from overflowing.
        small, large = np.minimum(sigma, 1.0), np.maximum(sigma, 1.0)
        near = np.log1p((small - s) * (small + s) / (1.0 + s * s))
        far = 2.0 * np.log(large) + np.log1p(large**-2.0) - math.log1p(s * s)
        return np.sqrt(-0.5 * np.where(sigma < 1.0, near, far) / rate)

    def gone(t: FloatArray) -> FloatArray:
        return -np.expm1(2.0 * rate * t * t)

    return _kept_variance("azula_vp", a, s, alpha, gone, lambda t: 2.0 * rate * t * alpha(t), time)


def azula_cosine(alpha_min: float = 1e-3, sigma_min: float = 1e-3) -> Process:
    """Azula's cosine process: alpha = cos(t arccos(alpha_min)), sigma as in azula_vp().

    Args and errors are those of azula_vp().

    Source: azula, CosineSchedule.
    """
    a, s = _scales(alpha_min, sigma_min)
    rate = math.acos(a)

    def time(sigma: FloatArray) -> FloatArray:
        opposite = np.sqrt(sigma - s) * np.sqrt(sigma + s)
        return np.arctan2(opposite, math.hypot(1.0, s)) / rate

    return _kept_variance(
        "azula_cosine",
        a,
        s,
        lambda t: np.cos(rate * t),
        lambda t: np.sin(rate * t) ** 2,
        lambda t: -rate * np.sin(rate * t),
        time,
    )


def azula_rectified(alpha_min: float = 1e-3, sigma_min: float = 1e-3) -> Process:
    """Azula's rectified process: alpha = 1 - t + t alpha_min, sigma = t + (1 - t) sigma_min.

    Args and errors are those of azula_vp().

    Source: azula, RectifiedSchedule; Liu et al. 2023 (arXiv 2209.03003), eq. 1.
    """
    a, s = _scales(alpha_min, sigma_min)
    name = f"azula_rectified(alpha_min={a!r}, sigma_min={s!r})"
    return _straight(name, a, s, lambda t: t, np.ones_like, lambda share: share)


def azula_decay(alpha_min: float = 1e-3, sigma_min: float = 1e-3, gamma: float = 0.1) -> Process:
    """Azula's decay process: azula_rectified() at the time (1 - gamma^t) / (1 - gamma).

    Args:
        alpha_min: signal scale at t = 1, below 1.
        sigma_min: noise scale at t = 0, below 1.
        gamma: speed at t = 1 relative to t = 0, below 1.

    Raises:
        ValueError: for a scale or gamma outside (0, 1).

    Source: azula, DecaySchedule.

    """
    a, s = _scales(alpha_min, sigma_min)
    if not 0.0 < gamma < 1.0:
        raise ValueError(f"gamma must lie strictly between 0 and 1, got {gamma!r}")
    rate, whole = math.log(gamma), 1.0 - gamma
    return _straight(
        f"azula_decay(alpha_min={a!r}, sigma_min={s!r}, gamma={float(gamma)!r})",
        a,
        s,
        lambda t: -np.expm1(rate * t) / whole,
        lambda t: -rate * np.exp(rate * t) / whole,
        lambda share: np.log1p(-whole * share) / rate,
    )


def _scales(alpha_min: float, sigma_min: float) -> tuple[float, float]:
    for name, value in (("alpha_min", alpha_min), ("sigma_min", sigma_min)):
        if positive(name, value) >= 1.0:
            raise ValueError(f"{name} must be below 1, got {value!r}")
    return float(alpha_min), float(sigma_min)


def _kept_variance(
    kind: str, a: float, s: float, alpha: Part, gone: Part, d_alpha: Part, time: Part
) -> Process:
    """sigma^2 = 1 - alpha^2 + s^2, with gone = 1 - alpha^2; so sigma sigma' = -alpha alpha'."""
    total = math.hypot(1.0, s)

    def sigma(t: FloatArray) -> FloatArray:
        return np.sqrt(gone(t) + s * s)

    return _continued(
        f"{kind}(alpha_min={a!r}, sigma_min={s!r})",
        s,
        alpha,
        sigma,
        d_alpha,
        lambda t: -alpha(t) * d_alpha(t) / sigma(t),
        time,
        lambda level: total / np.hypot(1.0, level),
    )


def _straight(name: str, a: float, s: float, share: Part, d_share: Part, time: Part) -> Process:
    """Alpha and sigma on a line: alpha = 1 - u + u a, sigma = u + (1 - u) s at the share u(t)."""

    def invert(level: FloatArray) -> FloatArray:
        return time((1.0 - s / level) / ((1.0 - s) / level + 1.0 - a))

    return _continued(
        name,
        s,
        lambda t: 1.0 - share(t) * (1.0 - a),
        lambda t: s + share(t) * (1.0 - s),
        lambda t: (a - 1.0) * d_share(t),
        lambda t: (1.0 - s) * d_share(t),
        invert,
        lambda level: (1.0 - s * a) / (1.0 - s + level * (1.0 - a)),
    )


def _continued(
    name: str,
    s: float,
    alpha: Part,
    sigma: Part,
    d_alpha: Part,
    d_sigma: Part,
    time: Part,
    alpha_at: Part,
) -> Process:
    """Return the process of curves on t >= 0, continued to level 0 at t = -1."""

    def both(before: Part, after: Part, start: float = 0.0) -> Curve:
        def curve(values: ArrayLike) -> Any:
            at = as_float64(values)
            found: Any = np.where(at < start, before(at), after(np.maximum(at, start)))
            return found[()]

        return curve

    def level(t: FloatArray) -> FloatArray:
        return sigma(t) / alpha(t)

    def d_level(t: FloatArray) -> FloatArray:
        return (d_sigma(t) - level(t) * d_alpha(t)) / alpha(t)

    def below(t: FloatArray) -> FloatArray:
        return s * np.maximum(1.0 + t, 0.0)

    def label(t: ArrayLike) -> Any:
        with np.errstate(divide="ignore"):
            return np.log(full_level(t))

    full_level = both(below, level)
    return Process(
        name=name,
        alpha=both(np.ones_like, alpha),
        sigma=both(below, sigma),
        level=full_level,
        time=both(lambda at: at / s - 1.0, time, s),
        alpha_at=both(np.ones_like, alpha_at, s),
        d_alpha=both(np.zeros_like, d_alpha),
        d_level=both(lambda t: np.full_like(t, s), d_level),
        diffusion=both(
            lambda t: np.sqrt(2.0 * s * below(t)),
            lambda t: alpha(t) * np.sqrt(2.0 * level(t) * d_level(t)),
        ),
        label=label,
        t_min=0.0,
        t_max=1.0,
    )
