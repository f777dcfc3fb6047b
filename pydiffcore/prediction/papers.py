# SPDX-License-Identifier: Apache-2.0
"""Predictions whose coefficients a paper gives as functions of the level."""

import math
from typing import Any

import numpy as np

from pydiffcore import process as processes
from pydiffcore.prediction.core import FloatArray, Prediction, predicted
from pydiffcore.process.core import positive


def denoised() -> Prediction:
    """F is the denoised prediction itself, D = F(x; sigma): a model of the kind D(x, sigma)."""
    return predicted("denoised()", lambda sigma: (0.0, 1.0, 1.0, sigma))


def edm(sigma_data: float = 0.5) -> Prediction:
    """EDM's preconditioning: input and training target of F have unit variance.

    With v = sigma^2 + sigma_data^2: c_skip = sigma_data^2 / v, c_out = sigma sigma_data / sqrt(v),
    c_in = 1 / sqrt(v), c_noise = ln(sigma) / 4.

    Args:
        sigma_data: standard deviation of the data.

    Raises:
        ValueError: unless sigma_data is positive and finite.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1.

    """
    if not (math.isfinite(sigma_data) and sigma_data > 0.0):
        raise ValueError(f"sigma_data must be positive and finite, got {sigma_data!r}")
    data = float(sigma_data)

    def formula(sigma: FloatArray) -> tuple[Any, Any, Any, Any]:
        total = np.hypot(sigma, data)
        return (data / total) ** 2, sigma * data / total, 1.0 / total, 0.25 * np.log(sigma)

    return predicted(f"edm(sigma_data={data!r})", formula)


def trigflow(sigma_data: float = 0.5) -> Prediction:
    """TrigFlow: D = cos(t) x_t - sin(t) sigma_data F(x_t / sigma_data; t).

    tan(t) = sigma / sigma_data and x_t = cos(t) x = cos(t) x0 + sin(t) sigma_data z.

    Args:
        sigma_data: standard deviation of the data.

    Raises:
        ValueError: unless sigma_data is positive and finite.

    Source: Lu & Song 2025 (arXiv 2410.11081), section 3.

    """
    data = positive("sigma_data", sigma_data)

    def formula(sigma: FloatArray) -> tuple[Any, Any, Any, Any]:
        total = np.hypot(sigma, data)
        return (data / total) ** 2, -sigma * data / total, 1.0 / total, np.arctan2(sigma, data)

    return predicted(f"trigflow(sigma_data={data!r})", formula)


def consistency(sigma_data: float = 0.5, sigma_min: float = 0.002) -> Prediction:
    """Consistency models: EDM's preconditioning, moved so that D is x itself at sigma_min.

    With d = sigma - sigma_min: c_skip = sigma_data^2 / (d^2 + sigma_data^2),
    c_out = d sigma_data / sqrt(v), c_in = 1 / sqrt(v), v = sigma^2 + sigma_data^2,
    c_noise = 250 ln(sigma).

    Args:
        sigma_data: standard deviation of the data.
        sigma_min: the lowest level of the model's training.

    Raises:
        ValueError: unless sigma_data is positive and finite and sigma_min is not negative.

    Source: Song et al. 2023 (arXiv 2303.01469), appendix C.

    """
    data, low = positive("sigma_data", sigma_data), float(sigma_min)
    if not (math.isfinite(low) and low >= 0.0):
        raise ValueError(f"sigma_min must be finite and not negative, got {sigma_min!r}")

    def formula(sigma: FloatArray) -> tuple[Any, Any, Any, Any]:
        total, d = np.hypot(sigma, data), sigma - low
        skip = (data / np.hypot(d, data)) ** 2
        return skip, d * data / total, 1.0 / total, 250.0 * np.log(sigma)

    return predicted(f"consistency(sigma_data={data!r}, sigma_min={low!r})", formula)


def vp(beta_min: float = 0.1, beta_max: float = 20.0, m: int = 1000) -> Prediction:
    """VP column of EDM's table 1: c_skip = 1, c_out = -sigma, c_in = 1 / sqrt(sigma^2 + 1).

    c_noise = (m - 1) t, where t is the time of the level in the process vp(beta_min, beta_max).

    Args:
        beta_min, beta_max: of the process.
        m: number of steps the labels count.

    Raises:
        ValueError: for m < 2 or betas that vp() refuses.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1.

    """
    if isinstance(m, bool) or not isinstance(m, int | np.integer) or m < 2:
        raise ValueError(f"m must be a whole number of at least 2, got {m!r}")
    process = processes.vp(beta_min, beta_max)
    return predicted(
        f"vp({process.name}, m={m})",
        lambda sigma: (1.0, -sigma, process.alpha_at(sigma), (m - 1) * process.time(sigma)),
    )


def ve() -> Prediction:
    """VE column of EDM's table 1: c_skip = 1, c_out = sigma, c_in = 1, c_noise = ln(sigma / 2).

    F is sigma times the score, that is -eps.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1.
    """
    return predicted("ve()", lambda sigma: (1.0, sigma, 1.0, np.log(0.5 * sigma)))


def ncsn(n: int = 232, sigma_min: float = 0.02, sigma_max: float = 100.0) -> Prediction:
    """F is sigma times the score, and the network is told the index of the level: NCSN.

    c_skip = 1, c_out = sigma, c_in = 1,
    c_noise = round((n - 1) ln(sigma_max / sigma) / ln(sigma_max / sigma_min)) in 0 .. n-1: the
    nearest of n geometric levels, counted from the highest.

    Args:
        n: number of levels.
        sigma_min, sigma_max: lowest and highest of them.

    Raises:
        ValueError: n < 2, or unless 0 < sigma_min < sigma_max.

    Source: Song & Ermon 2019 (arXiv 1907.05600), section 4 and appendix A, whose network returns
    the score itself; times sigma, as here, 2020 (arXiv 2006.09011), section 3.3.

    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 2:
        raise ValueError(f"n must be a whole number of at least 2, got {n!r}")
    low, high = positive("sigma_min", sigma_min), positive("sigma_max", sigma_max)
    if not low < high:
        raise ValueError(f"sigma_min must be below sigma_max, got {low!r} and {high!r}")

    def formula(sigma: FloatArray) -> tuple[Any, Any, Any, Any]:
        place = (n - 1) * np.log(high / sigma) / math.log(high / low)
        return 1.0, sigma, 1.0, np.clip(np.round(place), 0, n - 1)

    return predicted(f"ncsn(n={n}, sigma_min={low!r}, sigma_max={high!r})", formula)


def iddpm(m: int = 1000, c1: float = 0.001, c2: float = 0.008) -> Prediction:
    """Improved-DDPM column of EDM's table 1.

    c_skip = 1, c_out = -sigma, c_in = 1 / sqrt(sigma^2 + 1),
    c_noise = m - 1 - argmin_j |u_j - sigma| with the levels u_j of process.iddpm_levels().  j runs
    over 0 .. m-1: u_m = 0 has no label that a network was trained with.

    Args:
        m, c1, c2: of the level table.

    Raises:
        ValueError: for parameters that the table refuses.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1.

    """
    table = processes.iddpm_levels(m, c1, c2)[:-1]

    def formula(sigma: FloatArray) -> tuple[Any, Any, Any, Any]:
        nearest = np.argmin(np.abs(table - sigma[..., None]), axis=-1)
        return 1.0, -sigma, 1.0 / np.hypot(1.0, sigma), m - 1 - nearest

    return predicted(f"iddpm(m={m}, c1={float(c1)!r}, c2={float(c2)!r})", formula)
