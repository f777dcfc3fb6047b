# SPDX-License-Identifier: Apache-2.0
"""Gaussian data: denoiser, score, law and probability-flow solution in closed form."""

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
    module_of,
    parameter,
    rows,
)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Data x0 ~ N(mean, C) as a callable D(x, sigma); made by gaussian().

    With C = U diag(v) U^T everything is element-wise in the coordinates U^T (x - mean):

        D = mean + U diag(v / (v + sigma^2)) U^T (x - mean).

    Methods take x [B, *] (NumPy or torch; computed in float64, returned in the dtype of x) and
    sigma, a number or [B].  They raise TypeError or ValueError when x is not of the data's shape,
    or a level is negative or not finite.

    Fields:
        shape: the shape * of one sample.
        center: mean, [d].
        variances: v, [d].
        basis: U, [d, d], or None for the identity.
    """

    shape: tuple[int, ...]
    center: Constant
    variances: Constant
    basis: Constant | None

    def __call__(self, x: Any, sigma: Any) -> Any:
        """Return D(x, sigma) = E[x0 | x0 + sigma z = x], [B, *]."""
        flat, level = rows(x, self.shape), column("sigma", sigma, x)
        v = self.variances.like(x)
        return self._around_mean(v / _floor(v + level * level), flat, x)

    def score(self, x: Any, sigma: Any) -> Any:
        """Return grad log p_sigma(x) = -U diag(1 / (v + sigma^2)) U^T (x - mean), [B, *]."""
        flat, level = rows(x, self.shape), column("sigma", sigma, x)
        v = self.variances.like(x)
        centred = flat - self.center.like(x)
        return cast(-self._apply(1.0 / _floor(v + level * level), centred), x).reshape(x.shape)

    def solution(self, x: Any, sigma: Any, sigma_next: Any) -> Any:
        """Return the probability-flow ODE's solution at sigma_next that is x at sigma, [B, *].

        dx/dsigma = (x - D) / sigma gives U^T (x - mean) ~ sqrt(v + sigma^2).

        Raises:
            ValueError: also when sigma is 0 and the data have a direction without variance, where
                the ODE has no unique solution.

        Source: Karras et al. 2022 (arXiv 2206.00364), eq. 1 with s = 1, solved for this D.

        """
        flat, level = rows(x, self.shape), column("sigma", sigma, x)
        after = column("sigma_next", sigma_next, x)
        v = self.variances.like(x)
        if np.any(self.variances.values == 0.0) and bool((level == 0.0).any()):
            raise ValueError("sigma must be positive where the data have no variance, got 0")
        gain = (v + after * after) / (v + level * level)
        return self._around_mean(module_of(x).sqrt(gain), flat, x)

    def log_density(self, x: Any, sigma: Any = 0.0) -> Any:
        """Return log p_sigma(x) of x = x0 + sigma z in nats, [B]; needs a positive variance."""
        flat, level = rows(x, self.shape), column("sigma", sigma, x)
        v = _floor(self.variances.like(x) + level * level)
        centred = flat - self.center.like(x)
        if self.basis is not None:
            centred = centred @ self.basis.like(x)
        terms = centred * centred / v + module_of(x).log(2.0 * math.pi * v)
        return cast(-0.5 * terms.sum(-1), x)

    def marginal(self, sigma: float) -> "Gaussian":
        """Return the law of x0 + sigma z, N(mean, C + sigma^2), as a Gaussian."""
        level = float(parameter("sigma", sigma, positive=True))
        wider = Constant(self.variances.values + level * level)
        return Gaussian(self.shape, self.center, wider, self.basis)

    @property
    def mean(self) -> FloatArray:
        """Mean, float64 [*]."""
        return self.center.values.reshape(self.shape)

    @property
    def covariance(self) -> FloatArray:
        """Covariance C, float64 [d, d]."""
        u = np.eye(self.center.values.size) if self.basis is None else self.basis.values
        return (u * self.variances.values) @ u.T

    @property
    def std(self) -> FloatArray:
        """Standard deviation of each element, float64 [*]."""
        v = self.variances.values
        if self.basis is not None:
            v = self.basis.values**2 @ v
        return np.sqrt(v).reshape(self.shape)

    def sample(self, n: int, generator: np.random.Generator) -> FloatArray:
        """Return n independent draws, float64 [n, *]."""
        z = generator.standard_normal((n, self.center.values.size))
        spread = self._apply(np.sqrt(self.variances.values), z)
        return np.asarray(self.center.values + spread).reshape(n, *self.shape)

    def _apply(self, gain: Any, centred: Any) -> Any:
        """Return U diag(gain) U^T centred for the rows of centred, [B, d]."""
        if self.basis is None:
            return gain * centred
        u = self.basis.like(centred)
        return (gain * (centred @ u)) @ u.T

    def _around_mean(self, gain: Any, flat: Any, x: Any) -> Any:
        center = self.center.like(x)
        return cast(center + self._apply(gain, flat - center), x).reshape(x.shape)


def _floor(variance: Any) -> Any:
    return module_of(variance).clip(variance, TINY, None)


def gaussian(
    mean: ArrayLike, std: ArrayLike | None = None, *, covariance: ArrayLike | None = None
) -> Gaussian:
    """Return the exact denoiser of Gaussian data x0 ~ N(mean, C); see Gaussian.

    Args:
        mean: [*], any shape.
        std: standard deviation of each element, a number or [*]; 0 is allowed.
        covariance: [d, d] over the elements in C order, symmetric and positive semi-definite;
            exactly one of std and covariance is given.

    Raises:
        TypeError: unless exactly one of std and covariance is given.
        ValueError: for a wrong shape, values that are not finite, a negative std, or a covariance
            that is not symmetric positive semi-definite.

    Source: conditional mean of jointly Gaussian variables (Bishop 2006, eq. 2.81).

    """
    center = parameter("mean", mean)
    if (std is None) == (covariance is None):
        raise TypeError("exactly one of std and covariance must be given")
    if std is not None:
        spread = parameter("std", std, positive=True)
        if spread.shape not in ((), center.shape):
            raise ValueError(f"std must be a number or {center.shape}, got shape {spread.shape}")
        v = np.broadcast_to(spread**2, center.shape).reshape(-1).copy()
        return Gaussian(center.shape, Constant(center.reshape(-1)), Constant(v), None)
    matrix = parameter("covariance", np.asarray(covariance, dtype=np.float64))
    if matrix.shape != (center.size, center.size):
        raise ValueError(
            f"covariance must have shape {(center.size, center.size)}, got {matrix.shape}"
        )
    if not np.allclose(matrix, matrix.T, rtol=1e-9, atol=1e-12 * np.abs(matrix).max()):
        raise ValueError("covariance must be symmetric")
    v, basis = np.linalg.eigh(0.5 * (matrix + matrix.T))
    if v[0] < -1e-10 * max(v[-1], 0.0):
        raise ValueError(f"covariance must be positive semi-definite, least eigenvalue {v[0]!r}")
    # Rounding leaves eigenvalues a little below 0 in directions without variance.
    return Gaussian(
        center.shape, Constant(center.reshape(-1)), Constant(np.maximum(v, 0.0)), Constant(basis)
    )
