# SPDX-License-Identifier: Apache-2.0
"""Loss weightings lambda(sigma) on |D − x0|².

Papers weight the error of what their networks return; as D − x0 = c_out (F − target), a weight w
on |F − target|² is lambda = w/c_out².  Then one weighting serves every prediction: min-SNR's three
forms for eps, x0 and v, for example, are one.  With snr = 1/sigma²:

    |eps error|² = snr |D − x0|²           |v error|² = (1 + snr) |D − x0|²
    |score error|² = snr² |D − x0|²        |flow velocity error|² = (1 + sqrt(snr))² |D − x0|²

the score of the EDM frame and v of a variance-preserving process.  Factors that are the same at all
levels are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pydiffcore.prediction import Prediction
from pydiffcore.process import Process
from pydiffcore.train.laws.core import number

__all__ = [
    "Weight",
    "anneal",
    "cosmap",
    "edm",
    "flow",
    "likelihood",
    "min_snr",
    "on_output",
    "p2",
    "sigma_sqrt",
    "snr",
    "snr_plus_one",
    "soft_min_snr",
    "truncated_snr",
    "uniform",
    "unit_eps",
]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Weight:
    """A weighting lambda of |D − x0|², called with levels; equal where the names are.

    Fields:
        name: the weighting and all its parameters.
        formula: sigma, positive float64 array -> lambda of the same shape.
    """

    name: str
    formula: Callable[[FloatArray], Any] = field(compare=False, repr=False)

    def __call__(self, sigma: ArrayLike) -> Any:
        """Return lambda, float64 of the shape of sigma; ValueError for a level that is not > 0."""
        levels = np.asarray(sigma, np.float64)
        if levels.size and not (levels.min() > 0 and levels.max() < np.inf):
            raise ValueError(f"sigma is {levels}, expected positive and finite levels")
        return np.asarray(self.formula(levels), np.float64)[()]


def on_output(
    weight: Callable[[FloatArray], Any], prediction: Prediction, sigma: ArrayLike
) -> FloatArray:
    """Return lambda c_out², the weight on |F − target|² of a prediction: float64 like sigma."""
    levels = np.asarray(sigma, np.float64)
    return np.asarray(weight(levels) * prediction.coefficients(levels)[1] ** 2)


def uniform() -> Weight:
    """lambda = 1: the error of x0 itself.  Ho et al. 2020 (arXiv 2006.11239), section 3.2."""
    return Weight("uniform()", np.ones_like)


def edm(sigma_data: float = 0.5) -> Weight:
    """lambda = (sigma² + d²)/(sigma d)²: 1 on F of EDM's prediction, d = sigma_data.

    Raises:
        ValueError: sigma_data is not positive.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1.
    """
    data = number("sigma_data", sigma_data, above=0.0)
    return Weight(f"edm(sigma_data={data!r})", lambda sigma: sigma**-2.0 + data**-2.0)


def unit_eps() -> Weight:
    """lambda = 1/sigma²: 1 on the error of eps; DDPM's L_simple, and VP and VE of score SDEs.

    Source: Ho et al. 2020 (arXiv 2006.11239), eq. 14; Song et al. 2021 (arXiv 2011.13456), eq. 7
    with the weight of its section 3.3; Karras et al. 2022 (arXiv 2206.00364), table 1.
    """
    return Weight("unit_eps()", lambda sigma: sigma**-2.0)


def snr() -> Weight:
    """lambda = snr = 1/sigma², unit_eps() by its other name.

    Source: Salimans & Ho 2022 (arXiv 2202.00512), section 4.
    """
    return Weight("snr()", lambda sigma: sigma**-2.0)


def snr_plus_one(limit: float = math.inf) -> Weight:
    """lambda = min(snr + 1, limit): 1 on the error of v for variance-preserving processes.

    Raises:
        ValueError: limit is not positive.

    Source: Salimans & Ho 2022 (arXiv 2202.00512), section 4; azula's SimpleDenoiser for the limit
    (1e4).
    """
    most = number("limit", limit, above=0.0, infinite=True)
    return Weight(
        f"snr_plus_one(limit={most!r})", lambda sigma: np.minimum(sigma**-2.0 + 1.0, most)
    )


def truncated_snr() -> Weight:
    """lambda = max(snr, 1).  Salimans & Ho 2022 (arXiv 2202.00512), section 4."""
    return Weight("truncated_snr()", lambda sigma: np.maximum(sigma**-2.0, 1.0))


def anneal(power: float = 2.0) -> Weight:
    """lambda = sigma^(p − 4): sigma^p on the error of the score, as in NCSN and SMLD.

    The score is (D − x)/sigma².  p = 2 is NCSN's and equals unit_eps(), p = 0 plain denoising score
    matching.

    Source: Song & Ermon 2019 (arXiv 1907.05600), eqs. 5 and 6.
    """
    p = number("power", power)
    return Weight(f"anneal(power={p!r})", lambda sigma: sigma ** (p - 4.0))


def likelihood(process: Process) -> Weight:
    """g(t)² on the score of x_t: lambda = g²/(alpha² sigma⁴) = 2 level'(t)/sigma³.

    With t ~ U(0, T) the loss, times T/2, is the part of a bound on the negative log-likelihood that
    depends on the network.

    Source: Song et al. 2021 (arXiv 2101.09258), theorem 1.
    """
    return Weight(
        f"likelihood({process.name})",
        lambda sigma: 2.0 * process.d_level(process.time(sigma)) * sigma**-3.0,
    )


def min_snr(gamma: float = 5.0) -> Weight:
    """lambda = min(snr, gamma), whatever the network returns.

    It is min(gamma/snr, 1) on the error of eps and min(snr, gamma)/(snr + 1) on that of v.

    Raises:
        ValueError: gamma is not positive.

    Source: Hang et al. 2023 (arXiv 2303.09556), section 3.4.
    """
    most = number("gamma", gamma, above=0.0)
    return Weight(f"min_snr(gamma={most!r})", lambda sigma: np.minimum(sigma**-2.0, most))


def soft_min_snr(sigma_data: float = 0.5) -> Weight:
    """lambda = 1/(sigma² + d²), a smooth min(snr, gamma).

    d = sigma_data and gamma = 1/d²: 1/(sigma² + d²) = snr gamma/(snr + gamma).  On F of EDM's
    prediction it is (sigma d)²/(sigma² + d²)².  It is also a sigmoid of the log-SNR.

    Raises:
        ValueError: sigma_data is not positive.

    Source: Crowson et al. 2024 (arXiv 2401.11605), on loss weighting; k-diffusion, Denoiser.
    """
    data = number("sigma_data", sigma_data, above=0.0)
    return Weight(f"soft_min_snr(sigma_data={data!r})", lambda sigma: np.hypot(sigma, data) ** -2.0)


def p2(k: float = 1.0, gamma: float = 1.0) -> Weight:
    """lambda = snr/(k + snr)^gamma: 1/(k + snr)^gamma on the error of eps.

    Args:
        k: keeps the weight finite where there is little noise.
        gamma: 0 is unit_eps(); the paper has 0.5 and 1.

    Raises:
        ValueError: k is not positive, or gamma is negative.

    Source: Choi et al. 2022 (arXiv 2204.00227), eq. 8.
    """
    offset, power = number("k", k, above=0.0), number("gamma", gamma)
    if power < 0:
        raise ValueError(f"gamma is {gamma!r}, expected at least 0")
    return Weight(
        f"p2(k={offset!r}, gamma={power!r})",
        lambda sigma: sigma**-2.0 * (offset + sigma**-2.0) ** -power,
    )


def flow() -> Weight:
    """lambda = ((1 + sigma)/sigma)²: 1 on the error of the flow velocity eps − x0.

    Source: Liu et al. 2023 (arXiv 2209.03003), eq. 1.
    """
    return Weight("flow()", lambda sigma: (1.0 + 1.0 / sigma) ** 2)


def sigma_sqrt(on: str = "velocity") -> Weight:
    """t^-2 on the error of the flow velocity, or on that of x0; t = sigma/(1 + sigma).

    Args:
        on: "velocity", or "x0" as in diffusers' SD3 examples, which weight the error of x0 unless
            told otherwise; there it is flow().

    Raises:
        ValueError: on is neither.

    Source: diffusers, compute_loss_weighting_for_sd3.
    """
    return _on("sigma_sqrt", on, lambda t: t**-2.0)


def cosmap(on: str = "velocity") -> Weight:
    """2/(pi (1 − 2 t + 2 t²)) on the error of the flow velocity, or of x0; t = sigma/(1 + sigma).

    On the velocity and with uniform t it is the loss of uniform weight with CosMap times,
    laws.v_diffusion(1).

    Args:
        on: "velocity", or "x0" as in diffusers' SD3 examples.

    Raises:
        ValueError: on is neither.

    Source: Esser et al. 2024 (arXiv 2403.03206), eq. 21.
    """
    return _on("cosmap", on, lambda t: 2.0 / (math.pi * (1.0 - 2.0 * t + 2.0 * t * t)))


def _on(name: str, on: str, formula: Callable[[FloatArray], Any]) -> Weight:
    if on not in ("velocity", "x0"):
        raise ValueError(f"on is {on!r}, expected 'velocity' or 'x0'")

    def weight(sigma: FloatArray) -> Any:
        w = formula(1.0 / (1.0 + 1.0 / sigma))
        return w * (1.0 + 1.0 / sigma) ** 2 if on == "velocity" else w

    return Weight(f"{name}(on={on!r})", weight)
