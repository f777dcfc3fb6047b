# SPDX-License-Identifier: Apache-2.0
"""Quantiles of the Beta distribution in float64, with NumPy alone."""

import math

import numpy as np

from pydiffcore.levels.core import FloatArray

BISECTIONS = 80  # of the logit, whose range of 1400 they narrow to 1e-21
TERMS = 300  # of the continued fraction, which takes about sqrt(max(a, b)) of them


def beta_quantile(p: FloatArray, a: float, b: float) -> FloatArray:
    """Return x with I_x(a, b) = p, the quantiles of Beta(a, b), by bisection of the logit of x.

    Args:
        p: probabilities in [0, 1].
        a, b: the parameters of the distribution, in (0, 1000].

    Raises:
        ValueError: for parameters out of range.

    """
    for name, value in (("alpha", a), ("beta", b)):
        if not 0.0 < value <= 1000.0:
            raise ValueError(f"{name} must lie in (0, 1000], got {value!r}")
    low, high = np.full(p.shape, -700.0), np.full(p.shape, 700.0)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below = _distribution(middle, a, b) < p
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    inside = 1.0 / (1.0 + np.exp(-0.5 * (low + high)))
    if a == b:  # the median exactly, as who rounds it to an index would have it
        inside = np.where(p == 0.5, 0.5, inside)
    return np.where(p <= 0.0, 0.0, np.where(p >= 1.0, 1.0, inside))


def _distribution(logit: FloatArray, a: float, b: float) -> FloatArray:
    """Return I_x(a, b) at x = 1 / (1 + exp(-logit)): DLMF 8.17.22, mirrored where x is large."""
    mirrored = 1.0 / (1.0 + np.exp(-logit)) > (a + 1.0) / (a + b + 2.0)
    u = np.where(mirrored, -logit, logit)
    first, second = np.where(mirrored, b, a), np.where(mirrored, a, b)
    log_x, log_rest = -np.logaddexp(0.0, -u), -np.logaddexp(0.0, u)
    log_norm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = np.exp(first * log_x + second * log_rest + log_norm) / first
    tail = front * _fraction(np.exp(log_x), first, second)
    return np.where(mirrored, 1.0 - tail, tail)


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
        if np.all(np.abs(c * d - 1.0) < 1e-16):
            break
    return 1.0 / value
