# SPDX-License-Identifier: Apache-2.0
"""DPM-Solver and DPM-Solver++, multistep, deterministic and stochastic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydiffcore.adapters.diffusers.family import Family
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes import log_snr
from pydiffcore.adapters.diffusers.routes.dpm import ALGORITHMS, schedule, setup, stochastic
from pydiffcore.samplers.dpmpp import weights
from pydiffcore.samplers.multistep import derivatives

__all__ = ["FAMILIES", "dpm"]

Options = Mapping[str, Any]


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
    return {**setup(s, tuple(ALGORITHMS)), "lower_order_nums": 0}


def multi_schedule(
    s: Any, num_inference_steps: int | None, mu: float | None = None, timesteps: Any = None
) -> dict[str, Any]:
    def spaced(n: int) -> Any:
        return log_snr.spaced_without_end(s.config, n, log_snr.last_timestep(s))

    made = schedule(s, num_inference_steps, mu, timesteps, spaced)
    return {**made, "lower_order_nums": 0}


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
