# SPDX-License-Identifier: Apache-2.0
"""DPM-Solver and DPM-Solver++, multistep, deterministic and stochastic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pydiffcore.adapters.diffusers import spacing
from pydiffcore.adapters.diffusers.family import Family
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes import log_snr
from pydiffcore.adapters.diffusers.routes.sigma import no_curve
from pydiffcore.samplers.dpmpp import weights
from pydiffcore.samplers.multistep import derivatives

__all__ = ["ALGORITHMS", "FAMILIES", "SOLVERS", "curved", "dpm", "stochastic"]

Options = Mapping[str, Any]
# Whether D is integrated, or the noise; and the share of the reverse SDE.
ALGORITHMS = {
    "dpmsolver++": ("x0", 0.0),
    "dpmsolver": ("eps", 0.0),
    "sde-dpmsolver++": ("x0", 1.0),
    "sde-dpmsolver": ("eps", 1.0),
}
SOLVERS = ("midpoint", "heun")


def rule(order: int, z: float, solver: str, minus: bool) -> list[float]:
    """Weights of the derivatives, with half of the curvature, as the paper's code has it.

    ``minus``: the stochastic third-order step of D has −1/2 where |z| φ_3(z) has +1/2.
    """
    found = weights(order, z, solver, 0.5)
    return [*found[:2], found[2] - 1.0] if minus and order == 3 else found


def dpm(
    x: Any, denoise: Any, levels: Any, noise: Any, *, orders: Sequence[int], algorithm: str,
    solver: str,
) -> Any:  # fmt: skip
    """Steps of pydiffcore.samplers' dpmpp_3m_sde and dpm_solver_multi with these orders."""
    predict, eta = ALGORITHMS[algorithm]
    history: list[tuple[float, Any]] = []
    for order, (sigma, sigma_next) in zip(orders, levels.steps(), strict=True):
        D = denoise(x, sigma)
        if sigma_next == 0:
            return D
        h = math.log(sigma / sigma_next)
        if h == 0:  # the last timestep is the first of the table, where the run ends
            return x
        z = -(1 + eta) * h if predict == "x0" else h
        f = D if predict == "x0" else (x - D) / sigma
        history = [(sigma, f), *(each for each in history if each[0] != sigma)][:3]
        factor = 1.0 if predict == "x0" else -(1 + eta) * sigma_next
        x = math.exp(z) * x if predict == "x0" else x
        terms = derivatives(history[:order], h)
        minus = predict == "x0" and eta > 0
        for w, term in zip(rule(order, z, solver, minus), terms, strict=True):
            x = x + factor * w * term
        spread = (
            sigma_next**2 * -math.expm1(-2 * h) if predict == "x0" else sigma**2 - sigma_next**2
        )
        if eta > 0 and spread > 0:
            x = x + math.sqrt(spread) * noise(sigma, sigma_next)
    return x


def multi_setup(s: Any) -> dict[str, Any]:
    made = log_snr.setup_tables(s)
    log_snr.renamed(
        s,
        algorithm_type=(tuple(ALGORITHMS), {"deis": "dpmsolver++"}),
        solver_type=(SOLVERS, dict.fromkeys(("logrho", "bh1", "bh2"), "midpoint")),
    )
    if s.config.final_sigmas_type == "zero" and ALGORITHMS[s.config.algorithm_type][0] == "eps":
        raise ValueError(
            f"final_sigmas_type is 'zero', which {s.config.algorithm_type!r} cannot end at: its "
            "noise has no limit there; expected 'sigma_min'"
        )
    order = s.config.solver_order
    return {**made, "model_outputs": [None] * order, "lower_order_nums": 0}


def curved(s: Any, n: int, *, always_rounded: bool = False) -> tuple[Any, Any] | None:
    """Return timesteps and sigmas of the curve that the configuration asks for, or None."""
    config, table = s.config, log_snr.table_of(s)
    if config.get("use_lu_lambdas") and not config.use_karras_sigmas:
        log = np.log(table)
        sigmas = np.exp(np.linspace(log[-1], log[0], n))
    else:
        found = spacing.transformed(config, table[::-1], n)
        if found is None:
            return None
        sigmas = found
    at = spacing.sigma_to_t(sigmas, np.log(table))
    whole = config.use_karras_sigmas or config.get("use_lu_lambdas")
    whole = whole and (always_rounded or config.beta_schedule != "squaredcos_cap_v2")
    return (at.round() if whole else at), sigmas


def multi_schedule(
    s: Any, num_inference_steps: int | None, mu: float | None = None, timesteps: Any = None
) -> dict[str, Any]:
    log_snr.shift_by(s, mu)
    if (num_inference_steps is None) == (timesteps is None):
        raise ValueError("expected exactly one of num_inference_steps and timesteps")
    if num_inference_steps is None:
        no_curve(s.config, "timesteps")
        at = np.array(timesteps).astype(np.int64)
    else:
        at = log_snr.spaced_without_end(s.config, num_inference_steps, log_snr.last_timestep(s))
    n, table = num_inference_steps or len(at), log_snr.table_of(s)
    found = curved(s, n)
    if found is not None:
        at, sigmas = found
    elif s.config.use_flow_sigmas:
        sigmas = log_snr.flow_times(s, n)
        at = sigmas * s.config.num_train_timesteps
    else:
        sigmas = np.interp(at, np.arange(len(table)), table)
    last = log_snr.last_level(s, float(table[0]))
    return {
        **log_snr.timetable(at, sigmas, last),
        "num_inference_steps": len(at),
        "model_outputs": [None] * s.config.solver_order,
        "lower_order_nums": 0,
    }


def multi_recipe(s: Any, begin: int, options: Options) -> Recipe:
    config, n = s.config, len(s.timesteps)
    few = config.lower_order_final and n < 15
    ends = config.euler_at_final or few or config.final_sigmas_type == "zero"
    orders = log_snr.orders_of(n - begin, config.solver_order, first_at_end=ends, lower_at_end=few)
    if 3 in orders and config.algorithm_type == "sde-dpmsolver":
        raise NotImplementedError("solver_order is 3, which 'sde-dpmsolver' has no step of")
    return log_snr.recipe_in_frame(
        s, begin, dpm, orders=tuple(orders), algorithm=config.algorithm_type,
        solver=config.solver_type,
    )  # fmt: skip


def stochastic(s: Any, index: int, timestep: Any, options: Options) -> bool:
    """Whether each step draws: diffusers draws on the last one too, where nothing is added."""
    return str(s.config.algorithm_type).startswith("sde")


FAMILIES = {
    "DPMSolverMultistepScheduler": Family(
        setup=multi_setup,
        schedule=multi_schedule,
        recipe=multi_recipe,
        kinds=("epsilon", "sample", "v_prediction", "flow_prediction"),
        noising=log_snr.noising,
        draws=stochastic,
        float32_noise=True,
        upcasts=True,
        second="",
        split=log_snr.without_variance,
        local=("model_outputs", "lower_order_nums"),
        members=log_snr.members,
    ),
}
