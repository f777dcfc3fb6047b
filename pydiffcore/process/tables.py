# SPDX-License-Identifier: Apache-2.0
"""Processes given by a table of betas or levels; time is the index, continued in between."""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pydiffcore.process.betas import count
from pydiffcore.process.core import FloatArray, Process, as_float64, positive


def discrete(betas: ArrayLike) -> Process:
    """Process of a table of betas; time is the index 0 .. N-1, continued by interpolation.

    At an index i: alpha^2 = abar_i = prod_{j <= i} (1 - beta_j), level^2 = 1 / abar_i - 1.
    Between indices the logarithm of the level is linear in t.  Below index 0 the level falls
    linearly to 0 at t = -1; above the last finite entry m it is level_m / (1 - (t - m)), infinite
    at m + 1, where a table with zero terminal signal (last beta = 1) has its last entry.  d_level
    is the derivative from the right.  The label is t, clipped to [0, N-1].

    Args:
        betas: float64 [N], each in (0, 1); the last one may be 1.

    Raises:
        ValueError: for an empty table, a wrong shape or a beta out of range.

    Source: Ho et al. 2020 (arXiv 2006.11239), eq. 4; Lin et al. 2024 (arXiv 2305.08891) for zero
    terminal signal.

    """
    betas = as_float64(betas)
    if betas.ndim != 1 or betas.size == 0:
        raise ValueError(f"betas must have shape [N] with N >= 1, got shape {betas.shape}")
    wrong = ~((betas > 0.0) & ((betas < 1.0) | ((betas == 1.0) & (np.arange(betas.size) > 0))))
    wrong[:-1] |= betas[:-1] == 1.0
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(
            f"betas must lie in (0, 1), the last may be 1; betas[{at}] is {betas[at]!r}"
        )
    digest = hashlib.sha256(betas.tobytes()).hexdigest()[:12]
    with np.errstate(divide="ignore"):
        table = np.sqrt(np.expm1(-np.cumsum(np.log1p(-betas))))
    return _tabulated(f"discrete(n={betas.size}, betas={digest})", table)


@dataclass(frozen=True)
class _LogTable:
    """Levels [N] at the indices 0 … N − 1, ascending, log-linear in between.

    Below index 0 the level falls linearly to 0 at −1; beyond the last finite entry m it is
    σ_m/(1 − (t − m)), infinite at m + 1.
    """

    levels: FloatArray
    log_ratio: FloatArray

    @property
    def last(self) -> int:
        return self.levels.size - 1

    def _locate(self, t: FloatArray) -> NDArray[np.int64]:
        return np.clip(np.floor(t), 0, self.last).astype(np.int64)

    def _pick(self, t: FloatArray, below: Any, inside: Any, above: Any) -> Any:
        return np.where(t < 0.0, below, np.where(t > self.last, above, inside))[()]

    def level(self, t: ArrayLike) -> Any:
        t = as_float64(t)
        i = self._locate(t)
        # Multiplying by the power keeps the entries themselves exact.
        inside = self.levels[i] * np.exp(self.log_ratio[i] * np.clip(t - i, 0.0, 1.0))
        below = self.levels[0] * np.maximum(1.0 + t, 0.0)
        with np.errstate(divide="ignore"):
            above = self.levels[-1] / np.maximum(1.0 - (t - self.last), 0.0)
        return self._pick(t, below, inside, above)

    def time(self, sigma: ArrayLike) -> Any:
        sigma, low, high = as_float64(sigma), self.levels[0], self.levels[-1]
        i = np.clip(np.searchsorted(self.levels, sigma, side="right") - 1, 0, self.last)
        slope = np.where(self.log_ratio[i] > 0.0, self.log_ratio[i], 1.0)
        inside = i + np.log(np.clip(sigma, low, high) / self.levels[i]) / slope
        below = sigma / low - 1.0
        above = self.last + 1.0 - high / np.maximum(sigma, high)
        return np.where(sigma < low, below, np.where(sigma > high, above, inside))[()]

    def d_level(self, t: ArrayLike) -> Any:
        t = as_float64(t)
        i = np.minimum(self._locate(t), max(self.last - 1, 0))
        inside = self.level(np.clip(t, 0.0, self.last)) * self.log_ratio[i]
        with np.errstate(divide="ignore"):
            above = self.levels[-1] / np.maximum(1.0 - (t - self.last), 0.0) ** 2
        return self._pick(t, self.levels[0], inside, above)


def _tabulated(name: str, table: FloatArray) -> Process:
    """Variance-preserving process whose level at the index i is table[i] (ascending)."""
    finite = table[np.isfinite(table)]
    levels = _LogTable(finite, np.append(np.log(finite[1:] / finite[:-1]), 0.0))

    def noise(t: ArrayLike) -> Any:
        with np.errstate(divide="ignore"):
            return 1.0 / np.hypot(1.0, 1.0 / levels.level(t))

    def d_alpha(t: ArrayLike) -> Any:
        sigma = levels.level(t)
        with np.errstate(invalid="ignore"):
            slope = -sigma * levels.d_level(t) * np.hypot(1.0, sigma) ** -3.0
        return np.where(np.isinf(sigma), -1.0 / finite[-1], slope)[()]

    def diffusion(t: ArrayLike) -> Any:
        sigma = levels.level(t)
        with np.errstate(invalid="ignore"):
            squared = 2.0 * noise(t) * levels.d_level(t) / np.hypot(1.0, sigma)
        return np.where(np.isinf(sigma), np.inf, np.sqrt(squared))[()]

    return Process(
        name=name,
        alpha=lambda t: 1.0 / np.hypot(1.0, levels.level(t)),
        sigma=noise,
        level=levels.level,
        time=levels.time,
        alpha_at=lambda sigma: 1.0 / np.hypot(1.0, as_float64(sigma)),
        d_alpha=d_alpha,
        d_level=levels.d_level,
        diffusion=diffusion,
        label=lambda t: np.clip(as_float64(t), 0.0, table.size - 1.0),
        t_min=0.0,
        t_max=table.size - 1.0,
        size=table.size,
    )


def iddpm_levels(m: int = 1000, c1: float = 0.001, c2: float = 0.008) -> FloatArray:
    """Return the levels u_0 > ... > u_m = 0 of improved DDPM as float64 [m + 1].

    u_{j-1}^2 + 1 = (u_j^2 + 1) / max(a_{j-1} / a_j, c1), a_j = sin^2(pi/2 j / (m (c2 + 1))).

    Raises:
        ValueError: for m < 1 or constants that are not positive.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1.

    """
    m = count(m, "m")
    c1, c2 = positive("c1", c1), positive("c2", c2)
    a = np.sin(0.5 * math.pi * np.arange(m + 1) / (m * (c2 + 1.0))) ** 2
    log_growth = -np.log(np.maximum(a[:-1] / a[1:], c1))
    # u^2 + 1 is a product, so its logarithm is a sum from the clean end.
    return np.sqrt(np.expm1(np.append(np.cumsum(log_growth[::-1])[::-1], 0.0)))


def iddpm(m: int = 1000, c1: float = 0.001, c2: float = 0.008) -> Process:
    """Improved DDPM as a process: index t = 0 .. m-1 is the level u_{m-1-t} of iddpm_levels().

    It is the discrete process of the cosine betas with offset c2 and max_beta = 1 - c1.
    Interpolation, the ends and the label are those of discrete().

    Raises:
        ValueError: for m < 1 or constants that are not positive.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1; Nichol & Dhariwal 2021 (arXiv
    2102.09672), eq. 17.

    """
    levels = iddpm_levels(m, c1, c2)
    return _tabulated(f"iddpm(m={m}, c1={float(c1)!r}, c2={float(c2)!r})", levels[-2::-1].copy())
