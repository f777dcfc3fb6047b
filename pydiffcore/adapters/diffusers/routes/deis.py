# SPDX-License-Identifier: Apache-2.0
"""DEIS: pydiffcore.samplers.deis with polynomials in log ρ, on diffusers' timesteps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydiffcore.adapters.diffusers.family import Family
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes import log_snr
from pydiffcore.samplers.multistep import exponential_step

__all__ = ["FAMILIES"]

Options = Mapping[str, Any]


def deis(x: Any, denoise: Any, levels: Any, noise: Any, *, orders: Sequence[int]) -> Any:
    """Exponential multistep on ε = (x − D)/σ with these orders."""
    kept: list[tuple[float, Any]] = []
    for order, (sigma, sigma_next) in zip(orders, levels.steps(), strict=True):
        kept = [(sigma, (x - denoise(x, sigma)) / sigma), *kept][:3]
        x = exponential_step(x, kept[0][1], kept[1:order], sigma, sigma_next, of="eps")
    return x


def deis_setup(s: Any) -> dict[str, Any]:
    made = log_snr.setup_tables(s)
    log_snr.renamed(
        s,
        algorithm_type=(("deis",), dict.fromkeys(("dpmsolver", "dpmsolver++"), "deis")),
        solver_type=(
            ("logrho",), dict.fromkeys(("midpoint", "heun", "bh1", "bh2"), "logrho"),
        ),
    )  # fmt: skip
    return {**made, "model_outputs": [None] * s.config.solver_order, "lower_order_nums": 0}


def deis_schedule(s: Any, num_inference_steps: int, mu: float | None = None) -> dict[str, Any]:
    log_snr.shift_by(s, mu)
    made = log_snr.schedule(s, num_inference_steps)
    return {
        **made,
        "num_inference_steps": len(made["timesteps"]),
        "model_outputs": [None] * s.config.solver_order,
        "lower_order_nums": 0,
    }


def deis_recipe(s: Any, begin: int, options: Options) -> Recipe:
    n = len(s.timesteps)
    few = bool(s.config.lower_order_final) and n < 15
    orders = log_snr.orders_of(
        n - begin, min(s.config.solver_order, 3), first_at_end=few, lower_at_end=few
    )
    return log_snr.recipe_in_frame(s, begin, deis, orders=tuple(orders))


FAMILIES = {
    "DEISMultistepScheduler": Family(
        setup=deis_setup,
        schedule=deis_schedule,
        recipe=deis_recipe,
        kinds=("epsilon", "sample", "v_prediction", "flow_prediction"),
        noising=log_snr.noising,
        second="",
        local=("model_outputs", "lower_order_nums"),
        members=log_snr.members,
    ),
}
