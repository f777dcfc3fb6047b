# SPDX-License-Identifier: Apache-2.0
"""UniPC: a multistep predictor and a corrector that reuses the next step's evaluation."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from pydiffcore.levels import Levels
from pydiffcore.samplers.multistep import exponential_step, in_range, one_of, orders

__all__ = ["unipc"]


def _numbers(name: str, value: Any) -> None:
    """Check a collection of whole numbers."""
    items = value if isinstance(value, Collection) and not isinstance(value, str) else [None]
    if not all(isinstance(each, int | np.integer) for each in items):
        raise ValueError(f"{name} is {value!r}, expected numbers of steps, such as (0, 1)")


def unipc(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    order: int = 2,
    variant: str = "bh2",
    predict: str = "x0",
    corrector: bool = True,
    disable: Collection[int] = (),
    lower_order_final: bool = False,
) -> Any:
    """UniPC-p: predict with p kept values of D (or ε), correct with these and the new one.

    With u in units of the step h in λ = −log σ the weights w_j of f_j − f_0 solve
    Σ_j w_j u_j^k = hk! φ_{k+1}(−h): UniP over past values, UniC over u = 1 too.  The evaluation at
    the predicted state serves both the corrector and the next predictor; the last step is not
    corrected.  Zhao et al. 2023 (arXiv 2302.04867), Algorithms 1 and 2, eq. 3 and 5.

    Args:
        order: p, from 1 to 4; with the corrector the method has order p + 1.
        variant: for a single weight, B/2u with B = h ("bh1") or 1 − e^{−h} ("bh2") as in the
            paper's section 3.1, or "exact" as by its varying coefficients.
        predict: "x0" for D, "eps" for ε = (x − D)/σ.
        corrector: correct at all.
        disable: numbers of the steps, from 0, that are not corrected.
        lower_order_final: go down to order 1 towards the end; a step to σ = 0 has it anyway.

    """
    in_range("order", order, 4)
    one_of("variant", variant, ("bh1", "bh2", "exact"))
    one_of("predict", predict, ("x0", "eps"))
    _numbers("disable", disable)
    at = orders(levels, order, lower_order_final=lower_order_final)
    kept: list[tuple[float, Any]] = []
    start = x
    for i, (sigma, sigma_next) in enumerate(levels.steps()):
        D = denoise(x, sigma)
        f = D if predict == "x0" else (x - D) / sigma
        if i > 0 and corrector and i - 1 not in disable:
            (before, base), *past = kept[: at[i - 1]]
            nodes = [*past, (sigma, f)]
            x = exponential_step(start, base, nodes, before, sigma, of=predict, variant=variant)
        kept, start = [(sigma, f), *kept][:order], x
        past = kept[1 : at[i]]
        x = exponential_step(x, f, past, sigma, sigma_next, of=predict, variant=variant)
    return x
