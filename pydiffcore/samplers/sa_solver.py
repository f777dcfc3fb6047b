# SPDX-License-Identifier: Apache-2.0
"""SA-Solver: stochastic Adams methods for the reverse SDE whose noise is scaled by τ(σ)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.multistep import exponential_step, in_range, not_negative, one_of, orders

__all__ = ["sa_solver"]

Interval = Sequence[float]
Scale = Callable[[float], float]


def tau_at(tau: float | Interval | Scale, sigma: float, sigma_next: float) -> float:
    """Return τ of the step from σ: a number, that of an interval (low, high, value), or τ(σ)."""
    if sigma_next == 0:
        return 0.0
    if isinstance(tau, list | tuple):
        if len(tau) not in (2, 3) or not all(isinstance(each, Real) for each in tau):
            raise ValueError(f"tau is {tau}, expected (low, high) or (low, high, value)")
        value = (tau[2] if len(tau) == 3 else 1.0) if tau[0] <= sigma <= tau[1] else 0.0
    elif callable(tau):
        value = float(tau(sigma))
    elif isinstance(tau, Real):
        value = float(tau)
    else:
        raise TypeError(f"tau is {tau!r}, expected a number, (low, high) or a function of sigma")
    not_negative(tau=value)
    return value


def check(predictor: int, corrector: int, predict: str, variant: str) -> None:
    in_range("predictor", predictor, 4)
    in_range("corrector", corrector or 1, 4)
    one_of("predict", predict, ("x0", "eps"))
    one_of("variant", variant, ("exact", "bh1"))


def integrand(x: Any, D: Any, sigma: float, predict: str) -> Any:
    return D if predict == "x0" else (x - D) / sigma


def deviation(tau: float, sigma: float, sigma_next: float, predict: str) -> float:
    """Deviation of a step's noise: σ_next sqrt(1 − e^{−2τ²h}), or τ sqrt(σ² − σ_next²) for ε."""
    if predict == "eps":
        return tau * math.sqrt((sigma - sigma_next) * (sigma + sigma_next))
    if tau == 0:
        return 0.0
    return sigma_next * math.sqrt(-math.expm1(-2 * tau**2 * math.log(sigma / sigma_next)))


def adams(
    nodes: Sequence[tuple[float, Any]],
    x: Any,
    sigma: float,
    sigma_next: float,
    added: Any,
    rule: dict[str, Any],
) -> Any:
    """Step from σ with the polynomial through ``nodes`` and the noise that is added."""
    (_, f), *others = nodes
    x = exponential_step(x, f, others, sigma, sigma_next, **rule)
    return x if added is None else x + added


def sa_solver(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    tau: float | Interval | Scale = 1.0,
    predictor: int = 3,
    corrector: int = 4,
    pece: bool = False,
    predict: str = "x0",
    variant: str = "exact",
    lower_order_final: bool = False,
) -> Any:
    """SA-Solver: x' = e^{−(1+τ²)h} x + Σ_j b_j D_j + σ_next sqrt(1 − e^{−2τ²h}) z, then corrected.

    b_j integrates (1 + τ²) e^{−(1+τ²)(h−s)} times the Lagrange polynomial of D_j in λ = −log σ; the
    corrector has D at the predicted state among them and uses the predictor's z; the last step,
    after which nothing is evaluated, is not corrected.
    Xue et al. 2023 (arXiv 2309.05019), Algorithm 1, eq. 14 to 18.

    Args:
        tau: scale of the noise; a number, (low, high) to have 1 for σ between these, (low, high,
            value), or a function of σ, taken where a step begins, as diffusers does; the authors'
            code takes it at the end.  0 is the ODE, 1 the reverse SDE.  A step to σ = 0 has 0.
        predictor: number of values of D that predict, from 1 to 4.
        corrector: number of values that correct, the new one included, to 4; 0 corrects nothing.
        pece: evaluate again after the corrector, two calls a step, instead of once (PEC).
        predict: "x0" for D, or "eps" for ε = (x − D)/σ, whose noise is τ sqrt(σ² − σ_next²) z.
        variant: "exact", or "bh1" for UniPC's simpler weight where two values are used, as the
            paper's code and diffusers have it.
        lower_order_final: use fewer values towards the end, 1 in the last step.

    """
    check(predictor, corrector, predict, variant)
    at = orders(levels, predictor, lower_order_final=lower_order_final)
    kept: list[tuple[float, Any]] = []
    last: tuple[Any, ...] = ()
    for i, (sigma, sigma_next) in enumerate(levels.steps()):
        f = integrand(x, denoise(x, sigma), sigma, predict)
        if last and corrector > 0:
            values = min(corrector, len(at) - i + 2) if lower_order_final else corrector
            x = adams([*kept[: values - 1], (sigma, f)], *last)
            f = integrand(x, denoise(x, sigma), sigma, predict) if pece else f
        kept = [(sigma, f), *kept][:4]
        now = tau_at(tau, sigma, sigma_next)
        scale = deviation(now, sigma, sigma_next, predict)
        added = scale * noise(sigma, sigma_next) if scale > 0 else None
        rule = {"of": predict, "rate": 1 + now**2, "variant": variant}
        last = (x, sigma, sigma_next, added, rule)
        x = adams(kept[: at[i]], *last)
    return x
