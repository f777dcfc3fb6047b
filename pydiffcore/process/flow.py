# SPDX-License-Identifier: Apache-2.0
"""Rectified flow, level = t / (1 - t): as a straight line, and in the EDM frame."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pydiffcore.process.core import Process, as_float64, identity, ones, zeros


def _level(t: ArrayLike) -> Any:
    t = as_float64(t)
    with np.errstate(divide="ignore"):
        return t / (1.0 - t)


def _d_level(t: ArrayLike) -> Any:
    with np.errstate(divide="ignore"):
        return (1.0 - as_float64(t)) ** -2.0


def _time(sigma: ArrayLike) -> Any:
    with np.errstate(divide="ignore"):
        return 1.0 / (1.0 + 1.0 / as_float64(sigma))


def flow() -> Process:
    """Rectified flow: alpha = 1 - t, sigma = t, level = t / (1 - t), infinite at t = 1.

    f = -1 / (1 - t), g = sqrt(2 t / (1 - t)).  Sampling runs in t from 0.999, as t = 1 has no
    finite level, to 0.001.  The label is 1000 t.  Level 0 is at t = 0.

    Source: Liu et al. 2023 (arXiv 2209.03003), eq. 1; Lipman et al. 2023 (arXiv 2210.02747), eq. 20
    with sigma_min = 0 and time reversed.
    """
    return Process(
        name="flow()",
        alpha=lambda t: 1.0 - as_float64(t),
        sigma=identity,
        level=_level,
        time=_time,
        alpha_at=lambda sigma: 1.0 / (1.0 + as_float64(sigma)),
        d_alpha=lambda t: -ones(t),
        d_level=_d_level,
        diffusion=lambda t: np.sqrt(2.0 * _level(t)),
        label=lambda t: 1000.0 * as_float64(t),
        t_min=0.001,
        t_max=0.999,
    )


def cosmos() -> Process:
    """Rectified flow's levels in the EDM frame: alpha = 1, level = t / (1 - t), as Cosmos has it.

    g = sqrt(2 t / (1 - t)^3).  Cosmos-Predict2's networks are EDM's in what they return and are
    told t = level / (1 + level), the label; sampling runs between levels 0.002 and 80.  Level 0
    is at t = 0, the infinite level at t = 1.

    Source: NVIDIA 2025 (Cosmos-Predict2), the model's code.
    """

    def diffusion(t: ArrayLike) -> Any:
        return np.sqrt(2.0 * _level(t) * _d_level(t))

    return Process(
        name="cosmos()",
        alpha=ones,
        sigma=_level,
        level=_level,
        time=_time,
        alpha_at=ones,
        d_alpha=zeros,
        d_level=_d_level,
        diffusion=diffusion,
        label=identity,
        t_min=float(_time(0.002)),
        t_max=float(_time(80.0)),
    )
