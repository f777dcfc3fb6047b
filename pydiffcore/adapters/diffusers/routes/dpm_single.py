# SPDX-License-Identifier: Apache-2.0
"""DPM-Solver and DPM-Solver++, singlestep: steps of up to three calls, one at each timestep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pydiffcore.adapters.diffusers.family import Family
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes import log_snr
from pydiffcore.adapters.diffusers.routes.dpm import ALGORITHMS, schedule, setup, stochastic
from pydiffcore.samplers.phi import phi

__all__ = ["FAMILIES"]

Options = Mapping[str, Any]
NAMES = ("dpmsolver", "dpmsolver++", "sde-dpmsolver++")


def slopes(f: Sequence[Any], r: Sequence[float], z: float, solver: str, minus: bool) -> list[Any]:
    """Return weighted terms in f_j − f_0 of a step whose later calls lie at r of it.

    With two calls, or three and "midpoint", the last slope alone counts; three and "heun" put a
    parabola through them.  ``minus``: its stochastic form has −1/2 where |z| φ_3(z) has +1/2.
    """
    straight = [(other - f[0]) * (1 / at) for at, other in zip(r, f[1:], strict=True)]
    if len(f) == 1:
        return []
    if len(f) == 2 and solver == "midpoint":
        return [abs(z) * phi(1, z) / 2 * straight[-1]]
    if len(f) == 2 or solver == "midpoint":
        return [abs(z) * phi(2, z) * straight[-1]]
    (r1, r0), (first, second) = r, straight
    slope = (r0 / (r0 - r1)) * first - (r1 / (r0 - r1)) * second
    bend = (2 / (r0 - r1)) * (second - first)
    return [abs(z) * phi(2, z) * slope, (abs(z) * phi(3, z) - minus) * bend]


def single(
    x: Any, denoise: Any, levels: Any, noise: Any, *, orders: Sequence[int], algorithm: str,
    solver: str,
) -> Any:  # fmt: skip
    """Each call ends a step of its order, which began where the last one of order 1 was made.

    Lu et al. 2022 (arXiv 2206.00927), section 3.4, and 2022 (arXiv 2211.01095), section 4.
    """
    predict, eta = ALGORITHMS[algorithm]
    calls: list[tuple[float, Any]] = []
    start = x
    for order, (sigma, sigma_next) in zip(orders, levels.steps(), strict=True):
        D = denoise(x, sigma)
        if sigma_next == 0:
            return D
        f = D if predict == "x0" else (x - D) / sigma
        calls = [
            *(each for each in calls[1 - order :] if each[0] != sigma and order > 1),
            (sigma, f),
        ]
        start = x if order == 1 else start
        h = math.log(calls[0][0] / sigma_next)
        if h == 0:
            return x
        z = -(1 + eta) * h if predict == "x0" else h
        fs = [each for _, each in calls]
        r = [math.log(calls[0][0] / at) / h for at, _ in calls[1:]]
        factor = 1.0 if predict == "x0" else -sigma_next
        x = (math.exp(z) if predict == "x0" else 1.0) * start + factor * abs(z) * phi(1, z) * fs[0]
        for term in slopes(fs, r, z, solver, eta > 0):
            x = x + factor * term
        if eta > 0:
            x = x + sigma_next * math.sqrt(-math.expm1(-2 * h)) * noise(sigma, sigma_next)
    return x


def order_list(s: Any, n: int) -> list[int]:
    """Return the order that each of n calls ends: 1, 2, 3, 1, 2, 3, …, and down at the end.

    Raises:
        ValueError: solver_order is above 3.

    """
    order = s.config.solver_order
    if order > 3:
        raise ValueError(f"solver_order is {order}, expected at most 3")
    whole, rest = divmod(n, order)
    found = [*range(1, order + 1)] * whole
    if s.config.lower_order_final:
        found += range(1, rest + 1)
        if rest == 0 and order > 1:
            found[-1] = 1
    if s.config.final_sigmas_type == "zero" and found:
        found[-1] = 1
    return found


def single_setup(s: Any) -> dict[str, Any]:
    made = setup(s, NAMES)
    return {**made, "sample": None, "order_list": order_list(s, s.config.num_train_timesteps)}


def single_schedule(
    s: Any, num_inference_steps: int | None, mu: float | None = None, timesteps: Any = None
) -> dict[str, Any]:
    def spaced(n: int) -> Any:
        high = log_snr.last_timestep(s) - 1
        return np.linspace(0, high, n + 1).round()[::-1][:-1].astype(np.int64)

    made = schedule(s, num_inference_steps, mu, timesteps, spaced, always_rounded=True)
    n = made["num_inference_steps"]
    uneven = n % s.config.solver_order != 0 or s.config.final_sigmas_type == "zero"
    if uneven and not s.config.lower_order_final:
        s.register_to_config(lower_order_final=True)
    return {**made, "sample": None, "order_list": order_list(s, n)}


def single_recipe(s: Any, begin: int, options: Options) -> Recipe:
    orders = [min(order, i + 1) for i, order in enumerate(s.order_list[begin : len(s.timesteps)])]
    return log_snr.recipe_in_frame(
        s, begin, single, orders=tuple(orders), algorithm=s.config.algorithm_type,
        solver=s.config.solver_type,
    )  # fmt: skip


FAMILIES = {
    "DPMSolverSinglestepScheduler": Family(
        setup=single_setup,
        schedule=single_schedule,
        recipe=single_recipe,
        kinds=("epsilon", "sample", "v_prediction", "flow_prediction"),
        noising=log_snr.noising,
        draws=stochastic,
        second="",
        split=log_snr.without_variance,
        local=("model_outputs", "sample", "order_list"),
        members=log_snr.members,
    ),
}
