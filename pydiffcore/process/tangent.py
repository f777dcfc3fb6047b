# SPDX-License-Identifier: Apache-2.0
"""Processes whose time is an angle: tangent and cascade, both with a shift of the level."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pydiffcore.process.core import FloatArray, Process, as_float64, identity, positive


def tangent(shift: float = 1.0) -> Process:
    """Cosine schedule without offset: level = shift tan(pi t / 2), t in [1e-3, 0.999].

    For shift = 1: alpha = cos(pi t / 2), sigma = sin(pi t / 2), g = sqrt(pi tan(pi t / 2)), the
    schedule of continuous v-prediction.  The label is t.  Level 0 is at t = 0, the infinite level
    at t = 1.

    Args:
        shift: factor of the level, positive; the logarithm of the signal-to-noise ratio moves by
            -2 log(shift).  Simple diffusion takes d / 64 at d x d pixels.

    Raises:
        ValueError: for a shift that is not positive and finite.

    Source: Salimans & Ho 2022 (arXiv 2202.00512), section 3; Hoogeboom et al. 2023 (arXiv
    2301.11093), eqs. 3 and 4.

    """
    shift = positive("shift", shift)
    rate = 0.5 * math.pi

    def sine(t: ArrayLike) -> Any:
        return np.sin(rate * as_float64(t))

    def cosine(t: ArrayLike) -> Any:
        return np.sin(rate * (1.0 - as_float64(t)))  # exactly 0 at t = 1

    def length(t: ArrayLike) -> Any:
        return np.hypot(cosine(t), shift * sine(t))

    def d_level(t: ArrayLike) -> Any:
        with np.errstate(divide="ignore"):
            return shift * rate * cosine(t) ** -2.0

    def diffusion(t: ArrayLike) -> Any:
        with np.errstate(divide="ignore"):
            return shift * np.sqrt(2.0 * rate * sine(t) / cosine(t)) / length(t)

    def level(t: ArrayLike) -> Any:
        with np.errstate(divide="ignore"):
            return shift * sine(t) / cosine(t)

    return Process(
        name=f"tangent(shift={shift!r})",
        alpha=lambda t: cosine(t) / length(t),
        sigma=lambda t: shift * sine(t) / length(t),
        level=level,
        time=lambda sigma: np.arctan2(as_float64(sigma), shift) / rate,
        alpha_at=lambda sigma: 1.0 / np.hypot(1.0, as_float64(sigma)),
        d_alpha=lambda t: -rate * shift**2 * sine(t) / _cubed(length(t)),
        d_level=d_level,
        diffusion=diffusion,
        label=identity,
        t_min=1e-3,
        t_max=0.999,
    )


def cascade(shift: float = 1.0, offset: float = 0.008) -> Process:
    """Continuous cosine schedule with an offset and a shift: abar = cos^2(u) / cos^2(u_0).

    u(t) = pi/2 (t + offset) / (1 + offset), u_0 = u(0); level = shift sqrt(1 / abar - 1).  The
    label is t.  Level 0 is at t = 0, the infinite level at t = 1; sampling runs where abar lies
    between 0.9999 and 1e-4 after the shift.

    Args:
        shift: factor of the level, positive.
        offset: keeps the first levels from being too small, positive.

    Raises:
        ValueError: for a shift or offset that is not positive and finite.

    Source: Pernias et al. 2023 (arXiv 2306.00637), the authors' code; the shift is that of
    Hoogeboom et al. 2023 (arXiv 2301.11093), eq. 4.

    """
    shift, offset = positive("shift", shift), positive("offset", offset)
    curve = _Cascade(shift, offset)
    return Process(
        name=f"cascade(shift={shift!r}, offset={offset!r})",
        alpha=lambda t: curve.cosine(t) / np.sqrt(curve.length2(t)),
        sigma=lambda t: shift * np.sqrt(curve.noise2(t) / curve.length2(t)),
        level=curve.level,
        time=curve.time,
        alpha_at=lambda sigma: 1.0 / np.hypot(1.0, as_float64(sigma)),
        d_alpha=curve.d_alpha,
        d_level=curve.d_level,
        diffusion=curve.diffusion,
        label=identity,
        t_min=float(curve.time(math.sqrt(1.0 / 0.9999 - 1.0))),
        t_max=float(curve.time(math.sqrt(1e4 - 1.0))),
    )


@dataclass(frozen=True)
class _Cascade:
    """The curves of cascade() in u - u_0 and pi/2 - u, in which nothing cancels at either end."""

    shift: float
    offset: float

    @property
    def rate(self) -> float:
        return 0.5 * math.pi / (1.0 + self.offset)

    @property
    def first(self) -> float:
        """u_0."""
        return self.rate * self.offset

    def sine(self, t: ArrayLike) -> Any:
        return np.sin(self.first + self.rate * as_float64(t))

    def cosine(self, t: ArrayLike) -> Any:
        return np.sin(self.rate * (1.0 - as_float64(t)))  # exactly 0 at t = 1

    def noise2(self, t: ArrayLike) -> Any:
        """Return cos^2(u_0) - cos^2(u)."""
        moved = self.rate * as_float64(t)
        return np.sin(2.0 * self.first + moved) * np.sin(moved)

    def length2(self, t: ArrayLike) -> Any:
        return self.cosine(t) ** 2 + self.shift**2 * self.noise2(t)

    def level(self, t: ArrayLike) -> Any:
        with np.errstate(divide="ignore"):
            return self.shift * np.sqrt(self.noise2(t)) / self.cosine(t)

    def d_level(self, t: ArrayLike) -> Any:
        with np.errstate(divide="ignore"):
            growth = math.cos(self.first) ** 2 * self.sine(t) / self.cosine(t) ** 2
            return self.shift * self.rate * growth / np.sqrt(self.noise2(t))

    def d_alpha(self, t: ArrayLike) -> Any:
        scale = self.rate * (self.shift * math.cos(self.first)) ** 2
        return -scale * self.sine(t) / _cubed(np.sqrt(self.length2(t)))

    def diffusion(self, t: ArrayLike) -> Any:
        with np.errstate(divide="ignore"):
            growth = 2.0 * self.rate * self.sine(t) / self.cosine(t)
            return self.shift * math.cos(self.first) * np.sqrt(growth / self.length2(t))

    def time(self, sigma: ArrayLike) -> Any:
        level = as_float64(sigma) / self.shift
        tangent = _tan_difference(level, math.sin(self.first), math.cos(self.first))
        return np.minimum(np.arctan(tangent) / self.rate, 1.0)


def _cubed(value: FloatArray) -> FloatArray:
    return value * value * value  # a power would be rounded otherwise in arrays than alone


def _tan_difference(level: FloatArray, s0: float, c0: float) -> Any:
    """Return tan(u - u_0) of the angle whose level is sqrt(c0^2 / cos^2(u) - 1)."""
    # tan(u) = r / c0 with r = hypot(s0, level); r - s0 = level^2 / (r + s0) keeps its digits.
    r = np.hypot(s0, level)
    finite = np.where(np.isinf(level), 1.0, level)
    excess = finite * (finite / (np.hypot(s0, finite) + s0))
    tangent = excess * c0 / (c0**2 + s0 * np.where(np.isinf(level), 1.0, r))
    return np.where(np.isinf(level), c0 / s0, tangent)[()]
