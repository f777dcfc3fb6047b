# SPDX-License-Identifier: Apache-2.0
"""SEEDS: exponential Runge–Kutta methods for the reverse SDE, the stages of a step on one path.

Gonzalez et al. 2023 (arXiv 2305.14267).  Where D is constant, or ε with ``predict="eps"``, mean and
noise of every stage are those of the SDE's solution, jointly.  The paper's own equations have
η = 1; a step to σ = 0 returns D.
"""

from __future__ import annotations

from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.exponential import solve
from pydiffcore.samplers.exponential_tableau import EXPONENTIAL_EULER, single_2, single_3

__all__ = ["seeds_1", "seeds_2", "seeds_3"]


def seeds_1(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    predict: str = "x0",
) -> Any:
    """x' = e^{−(1+η)h} x + (1 − e^{−(1+η)h}) D + σ_next sqrt(1 − e^{−2ηh}) z.

    With ε: x' = x − (1 + η)(σ − σ_next) ε + sqrt(η(σ² − σ_next²)) z, which misses the marginal.
    At η = 1 the former is :func:`ancestral`.

    Args:
        eta: scale of the reverse SDE's noise; 0 is the ODE.
        s_noise: factor of the noise; with any but 1 the marginals are missed.
        predict: "x0" for D, "eps" for ε = (x − D)/σ, as in the paper's VP equations.

    """
    return solve(x, denoise, levels, noise, EXPONENTIAL_EULER, predict, eta, s_noise)


def seeds_2(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    r: float = 0.5,
    eta: float = 1.0,
    s_noise: float = 1.0,
    predict: str = "x0",
) -> Any:
    """Take the two stages of :func:`dpmpp_2s` at −(1 + η)h, with noise; two calls and draws a step.

    The noise of the first, σ_1 sqrt(1 − e^{−2ηrh}) z_1, comes back in the second as
    σ_next [e^{−η(1−r)h} sqrt(1 − e^{−2ηrh}) z_1 + sqrt(1 − e^{−2η(1−r)h}) z_2].

    Args:
        r: where the second call lies in λ, in (0, 1].
        eta, s_noise, predict: as for :func:`seeds_1`.

    """
    return solve(x, denoise, levels, noise, single_2(r), predict, eta, s_noise)


def seeds_3(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    r1: float = 1 / 3,
    r2: float = 2 / 3,
    eta: float = 1.0,
    s_noise: float = 1.0,
    predict: str = "x0",
) -> Any:
    """Take the three stages of :func:`dpmpp_3s` at −(1 + η)h; three calls and draws a step.

    Each stage's noise is carried on to the next, as in :func:`seeds_2`.

    Args:
        r1, r2: where the calls lie in λ, 0 < r1 < r2 ≤ 1.
        eta, s_noise, predict: as for :func:`seeds_1`.

    """
    return solve(x, denoise, levels, noise, single_3(r1, r2), predict, eta, s_noise)
