# SPDX-License-Identifier: Apache-2.0
"""Lists of levels as k-diffusion makes them: n levels, highest first, and a 0 after them.

They are computed in float64 and rounded once to torch's default dtype.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "get_sigmas_exponential", "get_sigmas_karras", "get_sigmas_polyexponential", "get_sigmas_vp",
]  # fmt: skip

Device = torch.device | str


def _counted(n: int) -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n is {n!r}, expected a whole number of levels, at least 1")
    return int(n)


def _ends(sigma_min: float, sigma_max: float) -> tuple[float, float]:
    low, high = float(sigma_min), float(sigma_max)
    for name, value in (("sigma_min", low), ("sigma_max", high)):
        if not 0 < value < np.inf:
            raise ValueError(f"{name} is {value}, expected a positive level")
    return low, high


def _with_zero(sigmas: NDArray[np.float64], device: Device) -> Tensor:
    return torch.tensor(
        np.append(sigmas, 0.0).tolist(), dtype=torch.get_default_dtype(), device=device
    )


def get_sigmas_karras(
    n: int, sigma_min: float, sigma_max: float, rho: float = 7.0, device: Device = "cpu"
) -> Tensor:
    """σ_i = (σ_max^(1/ρ) + i/(n−1) (σ_min^(1/ρ) − σ_max^(1/ρ)))^ρ, then 0: [n + 1].

    Karras et al. 2022 (arXiv 2206.00364), eq. 5.
    """
    low, high = (sigma ** (1 / rho) for sigma in _ends(sigma_min, sigma_max))
    return _with_zero((high + np.linspace(0, 1, _counted(n)) * (low - high)) ** rho, device)


def get_sigmas_exponential(
    n: int, sigma_min: float, sigma_max: float, device: Device = "cpu"
) -> Tensor:
    """Levels even in log σ, then 0: [n + 1]."""
    low, high = np.log(_ends(sigma_min, sigma_max))
    return _with_zero(np.exp(np.linspace(high, low, _counted(n))), device)


def get_sigmas_polyexponential(
    n: int, sigma_min: float, sigma_max: float, rho: float = 1.0, device: Device = "cpu"
) -> Tensor:
    """Log σ falls as the power ρ of a ramp from 1 to 0, then σ = 0: [n + 1]."""
    low, high = np.log(_ends(sigma_min, sigma_max))
    return _with_zero(np.exp(np.linspace(1, 0, _counted(n)) ** rho * (high - low) + low), device)


def get_sigmas_vp(
    n: int,
    beta_d: float = 19.9,
    beta_min: float = 0.1,
    eps_s: float = 1e-3,
    device: Device = "cpu",
) -> Tensor:
    """σ = sqrt(exp(β_d t²/2 + β_min t) − 1) at times even from 1 to ε_s, then 0: [n + 1].

    Song et al. 2021 (arXiv 2011.13456), eq. 29 in the EDM frame.
    """
    t = np.linspace(1, eps_s, _counted(n))
    return _with_zero(np.sqrt(np.expm1(beta_d * t**2 / 2 + beta_min * t)), device)
