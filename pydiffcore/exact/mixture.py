# SPDX-License-Identifier: Apache-2.0
"""Gaussian-mixture data: denoiser, score, law, and in one dimension the exact ODE solution."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pydiffcore.exact.frame import (
    TINY,
    Constant,
    FloatArray,
    cast,
    column,
    in_chunks,
    log_sum_exp,
    module_of,
    parameter,
    rows,
    softmax,
)

_erfc = np.frompyfunc(math.erfc, 1, 1)


@dataclass(frozen=True, eq=False)
class Mixture:
    """Data x0 ~ sum_k w_k N(mu_k, diag(v_k)) as a callable D(x, sigma); made by mixture().

    With the responsibilities r_k(x) proportional to w_k N(x; mu_k, v_k + sigma^2),

        D = sum_k r_k (mu_k + v_k / (v_k + sigma^2) (x - mu_k)).

    Methods take x [B, *] (NumPy or torch; computed in float64, returned in the dtype of x) and
    sigma, a number or [B].  They raise TypeError or ValueError when x is not of the data's shape,
    or a level is negative or not finite.

    Fields:
        shape: the shape * of one sample.
        weights: w, [K], adding up to 1.
        centers: mu, [K, d].
        variances: v, [K, d].
    """

    shape: tuple[int, ...]
    weights: Constant
    centers: Constant
    variances: Constant

    def __call__(self, x: Any, sigma: Any) -> Any:
        """Return D(x, sigma) = E[x0 | x0 + sigma z = x], [B, *]."""

        def denoise(flat: Any, level: Any) -> Any:
            logits, centred, total = self._terms(flat, level)
            shrunk = self.centers.like(flat) + self.variances.like(flat) / total * centred
            return (softmax(logits)[..., None] * shrunk).sum(1)

        return self._chunked(denoise, x, sigma).reshape(x.shape)

    def score(self, x: Any, sigma: Any) -> Any:
        """Return grad log p_sigma(x) = -sum_k r_k (x - mu_k) / (v_k + sigma^2), [B, *]."""

        def slope(flat: Any, level: Any) -> Any:
            logits, centred, total = self._terms(flat, level)
            return -(softmax(logits)[..., None] * (centred / total)).sum(1)

        return self._chunked(slope, x, sigma).reshape(x.shape)

    def log_density(self, x: Any, sigma: Any = 0.0) -> Any:
        """Return log p_sigma(x) of x = x0 + sigma z in nats, [B]; needs positive variances."""
        return self._chunked(lambda flat, level: log_sum_exp(self._terms(flat, level)[0]), x, sigma)

    def marginal(self, sigma: float) -> "Mixture":
        """Return the law of x0 + sigma z as a Mixture: sigma^2 is added to every variance."""
        level = float(parameter("sigma", sigma, positive=True))
        wider = Constant(self.variances.values + level * level)
        return Mixture(self.shape, self.weights, self.centers, wider)

    @property
    def mean(self) -> FloatArray:
        """Mean, float64 [*]."""
        return (self.weights.values @ self.centers.values).reshape(self.shape)

    @property
    def covariance(self) -> FloatArray:
        """Covariance over the elements in C order, float64 [d, d]."""
        w = self.weights.values
        centred = self.centers.values - self.mean.reshape(-1)
        return (w[:, None] * centred).T @ centred + np.diag(w @ self.variances.values)

    def sample(self, n: int, generator: np.random.Generator) -> FloatArray:
        """Return n independent draws, float64 [n, *]."""
        k = generator.choice(self.weights.values.size, size=n, p=self.weights.values)
        z = generator.standard_normal((n, self.centers.values.shape[1]))
        drawn = self.centers.values[k] + np.sqrt(self.variances.values[k]) * z
        return np.asarray(drawn).reshape(n, *self.shape)

    def cdf(self, values: ArrayLike, sigma: float = 0.0) -> FloatArray:
        """Return P(x0 + sigma z <= value) for one-dimensional data, float64 of values' shape."""
        return self._tail(np.asarray(values, dtype=np.float64), sigma, -1.0)

    def solution(self, x: ArrayLike, sigma: float, sigma_next: float) -> FloatArray:
        """Return the probability-flow ODE's solution at sigma_next that is x at sigma.

        One-dimensional data and NumPy only: the flow keeps order, hence quantiles, so
        cdf(solution, sigma_next) = cdf(x, sigma).  Accurate to about 1e-13 of the data's scale.

        Args:
            x: float64, any shape.
            sigma, sigma_next: levels; at sigma = 0 every component needs a positive variance.

        Raises:
            ValueError: for data of more than one dimension or a bad level.

        """
        x = np.asarray(x, dtype=np.float64)
        lower, upper = self._tail(x, sigma, -1.0), self._tail(x, sigma, 1.0)
        # The smaller tail keeps its relative precision where the other one rounds to 1.
        sign = np.where(lower < upper, -1.0, 1.0)
        target = np.minimum(lower, upper)
        after = self.marginal(sigma_next)
        reach = 40.0 * np.sqrt(after.variances.values.max())
        low = np.full(x.shape, after.centers.values.min() - reach)
        high = np.full(x.shape, after.centers.values.max() + reach)
        for _ in range(110):
            middle = 0.5 * (low + high)
            tail = np.where(sign < 0.0, after.cdf(middle), after._tail(middle, 0.0, 1.0))
            right = (tail < target) == (sign < 0.0)
            low, high = np.where(right, middle, low), np.where(right, high, middle)
        return 0.5 * (low + high)

    def _tail(self, values: FloatArray, sigma: float, sign: float) -> FloatArray:
        """Return the mass below (sign -1) or above (sign 1) each value."""
        if self.centers.values.shape[1] != 1:
            raise ValueError(f"the data must be one-dimensional, their shape is {self.shape}")
        level = float(parameter("sigma", sigma, positive=True))
        scale = np.sqrt(2.0 * np.maximum(self.variances.values[:, 0] + level * level, TINY))
        z = sign * (values[..., None] - self.centers.values[:, 0]) / scale
        return 0.5 * (np.asarray(_erfc(z), dtype=np.float64) @ self.weights.values)

    def _terms(self, flat: Any, level: Any) -> tuple[Any, Any, Any]:
        """Return log w_k N(x; mu_k, v_k + sigma^2) [B, K], x - mu_k and v_k + sigma^2 [B, K, d]."""
        xp = module_of(flat)
        total = xp.clip(self.variances.like(flat) + (level * level)[..., None], TINY, None)
        centred = flat[:, None] - self.centers.like(flat)
        spread = (centred * centred / total + xp.log(2.0 * math.pi * total)).sum(-1)
        return xp.log(self.weights.like(flat)) - 0.5 * spread, centred, total

    def _chunked(self, function: Any, x: Any, sigma: Any) -> Any:
        flat, level = rows(x, self.shape), column("sigma", sigma, x)
        return cast(in_chunks(function, self.centers.values.size, flat, level), x)


def mixture(weights: ArrayLike, means: ArrayLike, stds: ArrayLike) -> Mixture:
    """Return the exact denoiser of Gaussian-mixture data; see Mixture.

    Args:
        weights: [K], positive; divided by their sum.
        means: [K, *].
        stds: a number, [K] (isotropic components) or [K, *] (diagonal ones); 0 is allowed.

    Raises:
        ValueError: for shapes that do not match, values that are not finite, weights that are not
            positive, or a negative std.

    Source: Bishop 2006, eqs. 2.81 and 9.23 (responsibilities).

    """
    w, mu = parameter("weights", weights), parameter("means", means)
    s = parameter("stds", stds, positive=True)
    if w.ndim != 1 or w.size == 0 or np.any(w <= 0.0):
        raise ValueError(f"weights must be positive with shape [K], got {weights!r}")
    if mu.ndim == 0 or mu.shape[0] != w.size:
        raise ValueError(f"means must have shape [{w.size}, *], got {mu.shape}")
    if s.shape not in ((), (w.size,), mu.shape):
        raise ValueError(f"stds must be a number, [{w.size}] or {mu.shape}, got shape {s.shape}")
    if s.ndim == 1:
        s = s.reshape(-1, *(1,) * (mu.ndim - 1))
    v = np.broadcast_to(s**2, mu.shape).reshape(w.size, -1).copy()
    centers = mu.reshape(w.size, -1)
    return Mixture(mu.shape[1:], Constant(w / w.sum()), Constant(centers), Constant(v))
