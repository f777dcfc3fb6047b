# SPDX-License-Identifier: Apache-2.0
"""Quantiles of the Beta distribution in float64, with NumPy alone."""

import math

import numpy as np

from pydiffcore.levels.core import FloatArray

STEPS = 100  # of Newton's method, which takes about ten
TERMS = 300  # of the continued fraction, which takes about sqrt(max(a, b)) of them


def beta_quantile(p: FloatArray, a: float, b: float) -> FloatArray:
    """Return x with I_x(a, b) = p, the quantiles of Beta(a, b).

    With x = 1/(1 + exp(−u)) Newton's method solves ln I = ln p for u: ln I is concave in u, so it
    comes to the root from below and never passes it.  Above the median it does so for 1 − x.

    Args:
        p: probabilities in [0, 1].
        a, b: the parameters of the distribution, in (0, 1000].

    Raises:
        ValueError: for parameters out of range.

    """
    for name, value in (("alpha", a), ("beta", b)):
        if not 0.0 < value <= 1000.0:
            raise ValueError(f"{name} must lie in (0, 1000], got {value!r}")
    upper = p > 0.5
    tail = np.where(upper, 1.0 - p, p)
    inner = np.where(tail > 0.0, tail, 0.5)
    u = _logit(inner, np.where(upper, b, a), np.where(upper, a, b), _log_norm(a, b))
    inside = np.exp(-np.logaddexp(0.0, np.where(upper, u, -u)))
    if a == b:  # the median exactly, as who rounds it to an index would have it
        inside = np.where(p == 0.5, 0.5, inside)
    return np.where(p <= 0.0, 0.0, np.where(p >= 1.0, 1.0, inside))


def _log_norm(a: float, b: float) -> float:
    """Return -ln B(a, b)."""
    return math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)


def _logit(p: FloatArray, a: FloatArray, b: FloatArray, log_norm: float) -> FloatArray:
    """Return u with I(a, b) = p at x = 1/(1 + exp(-u)), from where I is x^a/(a B(a, b))."""
    u = (np.log(p * a) - log_norm) / a
    for _ in range(STEPS):
        value, slope = _distribution(u, a, b, log_norm)
        step = (np.log(p) - np.log(value)) * value / slope
        u = u + step
        if np.all(np.abs(step) <= 1e-9):  # its square is what is left
            break
    return u


def _distribution(
    u: FloatArray, a: FloatArray, b: FloatArray, log_norm: float
) -> tuple[FloatArray, FloatArray]:
    """Return I_x(a, b) at x = 1/(1 + exp(-u)) and dI/du: DLMF 8.17.22, mirrored for large x."""
    mirrored = -np.logaddexp(0.0, -u) > np.log((a + 1.0) / (a + b + 2.0))
    u = np.where(mirrored, -u, u)
    first, second = np.where(mirrored, b, a), np.where(mirrored, a, b)
    log_x, log_rest = -np.logaddexp(0.0, -u), -np.logaddexp(0.0, u)
    slope = np.exp(first * log_x + second * log_rest + log_norm)
    tail = slope / first * _fraction(np.exp(log_x), first, second)
    return np.where(mirrored, 1.0 - tail, tail), slope


def _fraction(x: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Return 1 / (1 + d_1 / (1 + d_2 / ...)), d_k of DLMF 8.17.22, by Lentz's method."""
    value, c, d = np.ones_like(x), np.ones_like(x), np.zeros_like(x)
    for k in range(1, TERMS):
        m = k // 2
        if k % 2:
            numerator = -(a + m) * (a + b + m) * x / ((a + k - 1.0) * (a + k))
        else:
            numerator = m * (b - m) * x / ((a + k - 1.0) * (a + k))
        d = 1.0 / (1.0 + numerator * d)
        c = 1.0 + numerator / c
        value = value * c * d
        if np.all(np.abs(c * d - 1.0) <= 3e-16):
            break
    return 1.0 / value
