# SPDX-License-Identifier: Apache-2.0
"""Pseudo-numerical methods: classical ones with DDIM's step in the place of Euler's.

The transfer from σ to σ' along a noise e is x + (σ' − σ) e in the EDM frame, and e a combination,
with the coefficients of even steps, of ε = (x − D)/σ at several states.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.lms import lms
from pydiffcore.samplers.multistep import in_range, one_of

__all__ = ["ipndm", "ipndm_v", "plms", "pndm"]

# Adams–Bashforth on even steps: weights of older values, where that of the newest makes the sum 1
ADAMS = ((), (-1 / 2,), (-16 / 12, 5 / 12), (-59 / 24, 37 / 24, -9 / 24))


def held(x: Any, D: Any, sigma: float, of: str) -> tuple[Any, float]:
    """Return what is kept of a call, ε or v, and dε/dv at a given x, in the VP scaling.

    v = (ε − σ D)/sqrt(1 + σ²), and ε = (v + σ x/sqrt(1 + σ²))/sqrt(1 + σ²).
    """
    eps = (x - D) / sigma
    if of == "eps":
        return eps, 1.0
    a = 1 / math.hypot(1.0, sigma)
    return a * (eps - sigma * D), a


def transfer(
    x: Any,
    D: Any,
    f: Any,
    step: tuple[float, float],
    others: Sequence[Any] = (),
    weights: Sequence[float] = (),
    scale: float = 1.0,
) -> Any:
    """From σ to σ' = step along ε + scale·Σ_j w_j (f_j − f): no digits are lost as σ' → 0."""
    sigma, target = step
    x = D + (target / sigma) * (x - D)
    for w, other in zip(weights, others, strict=True):
        x = x + (target - sigma) * scale * w * (other - f)
    return x


def plms(
    x: Any, denoise: Any, levels: Levels, noise: Any, *, order: int = 4, of: str = "eps"
) -> Any:
    """PNDM without Runge–Kutta: (55 ε_0 − 59 ε_1 + 37 ε_2 − 9 ε_3)/24, in DDIM's step.

    The first step is the pseudo improved Euler method, which evaluates at its target as well; then
    as many ε as there are; a single step is DDIM's, as in diffusers.  Order 2 is the paper's
    S-PNDM.  Liu et al. 2022 (arXiv 2202.09778), eq. 9, 11 and 12; diffusers' PNDM with
    skip_prk_steps.

    Args:
        order: number of values that are combined, from 1 (DDIM) to 4.
        of: "eps", or "v" to combine the VP velocity instead, as diffusers does for networks that
            predict v.

    """
    in_range("order", order, 4)
    one_of("of", of, ("eps", "v"))
    kept: list[Any] = []
    for i, (sigma, sigma_next) in enumerate(levels.steps()):
        D = denoise(x, sigma)
        f, scale = held(x, D, sigma, of)
        kept = [f, *kept][:order]
        others, weights = kept[1:], ADAMS[len(kept) - 1]
        if i == 0 and len(levels) > 1 and order > 1:
            trial = transfer(x, D, f, (sigma, sigma_next))
            others = [held(trial, denoise(trial, sigma_next), sigma_next, of)[0]]
            weights = (1 / 2,)
        x = transfer(x, D, f, (sigma, sigma_next), others, weights, scale)
    return x


def runge_kutta(x: Any, D: Any, denoise: Any, at: tuple[float, float, float], of: str) -> Any:
    """One step of the pseudo Runge–Kutta method, from at[0] by at[1] to at[2]."""
    sigma, middle, sigma_next = at
    f, scale = held(x, D, sigma, of)
    stages: list[Any] = [f]
    for target in (middle, middle, sigma_next):
        state = transfer(x, D, f, (sigma, target), stages[-1:], (1.0,), scale)
        stages.append(held(state, denoise(state, target), target, of)[0])
    return transfer(x, D, f, (sigma, sigma_next), stages[1:], (2 / 6, 2 / 6, 1 / 6), scale)


def pndm(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    of: str = "eps",
    middle: Callable[[float, float], float] | None = None,
) -> Any:
    """F-PNDM: three steps of the pseudo Runge–Kutta method, then those of :func:`plms`.

    Liu et al. 2022 (arXiv 2202.09778), eq. 9, 11 and 13, Algorithm 2.  A step to σ = 0 cannot be
    Runge–Kutta's.

    Args:
        of: as for :func:`plms`.
        middle: the level halfway from σ to σ_next; by default halfway in the process's time.

    """
    one_of("of", of, ("eps", "v"))
    process = levels.process
    kept: list[Any] = []
    for i, (sigma, sigma_next) in enumerate(levels.steps()):
        D = denoise(x, sigma)
        f, scale = held(x, D, sigma, of)
        kept = [f, *kept][:4]
        if i < 3 and sigma_next > 0:
            halfway = (process.time(sigma) + process.time(sigma_next)) / 2
            at = middle(sigma, sigma_next) if middle else float(process.level(halfway))
            x = runge_kutta(x, D, denoise, (sigma, at, sigma_next), of)
        else:
            step = (sigma, sigma_next)
            x = transfer(x, D, f, step, kept[1:], ADAMS[len(kept) - 1], scale)
    return x


def ipndm(
    x: Any, denoise: Any, levels: Levels, noise: Any, *, order: int = 4, extrapolates: bool = False
) -> Any:
    """Improved PNDM: :func:`plms` that starts with the lower orders, of one call each.

    Zhang & Chen 2023 (arXiv 2204.13902), Appendix; the name is theirs.

    Args:
        order: number of values of ε that are combined, from 1 (DDIM) to 4.
        extrapolates: whether they lead to σ = 0 too, as in diffusers; else D is taken, as in
            ComfyUI.

    """
    in_range("order", order, 4)
    kept: list[Any] = []
    for sigma, sigma_next in levels.steps():
        D = denoise(x, sigma)
        kept = [(x - D) / sigma, *kept][: order if extrapolates or sigma_next > 0 else 1]
        weights = ADAMS[len(kept) - 1]
        x = transfer(x, D, kept[0], (sigma, sigma_next), kept[1:], weights)
    return x


def ipndm_v(
    x: Any, denoise: Any, levels: Levels, noise: Any, *, order: int = 4, extrapolates: bool = False
) -> Any:
    """:func:`ipndm` with the coefficients of the levels' own, uneven steps in σ.

    They make it Adams–Bashforth in σ: :func:`lms` but for a step to σ = 0.  The code of
    diff-sampler differs from order 3 on: docs/peers.md.
    Zhang & Chen 2023 (arXiv 2204.13902), section 3.3.

    Args:
        order: number of values of ε that are used, from 1 to 4.
        extrapolates: as for :func:`ipndm`.

    """
    in_range("order", order, 4)
    return lms(x, denoise, levels, noise, order=order, extrapolates=extrapolates)
