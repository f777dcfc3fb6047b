# SPDX-License-Identifier: Apache-2.0
"""Linear multistep, whose coefficients follow the place in the whole schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pydiffcore.adapters.diffusers.family import Family, placed, sigma_noising
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes.sigma import (
    curve,
    ended,
    input_scale,
    levels,
    recipe_of,
    sigma_table,
)
from pydiffcore.samplers.lms import adams_bashforth

__all__ = ["FAMILIES"]

Options = Mapping[str, Any]


def lms(
    x: Any, denoise: Any, levels: Any, noise: Any, *, table: Sequence[float], begin: int, order: int
) -> Any:
    """Adams–Bashforth in σ, pydiffcore.samplers.lms from the first step on.

    A run that begins later takes the coefficients of the order that its place in the whole
    schedule would have, for the slopes that it has.
    """
    slopes: list[Any] = []
    for i, (sigma, sigma_next) in enumerate(levels.steps(), start=begin):
        slopes = [(x - denoise(x, sigma)) / sigma, *slopes][:order]
        nodes = np.array(table[max(i + 1 - order, 0) : i + 1][::-1])
        for c, d in zip(adams_bashforth(nodes, sigma, sigma_next), slopes, strict=False):
            x = x + float(c) * d
    return x


def lms_setup(s: Any) -> dict[str, Any]:
    made = sigma_table(s)
    s.alphas_cumprod = made["alphas_cumprod"]
    return {
        **made,
        **lms_schedule(s, s.config.num_train_timesteps),
        "use_karras_sigmas": s.config.use_karras_sigmas,
        "derivatives": [],
        "is_scale_input_called": False,
    }


def lms_schedule(s: Any, num_inference_steps: int) -> dict[str, Any]:
    at, between, table = levels(s, num_inference_steps)
    at, between = curve(s, at, between, table, num_inference_steps)
    return {
        "num_inference_steps": num_inference_steps,
        "sigmas": ended(between),
        "timesteps": placed(at, torch.float32),
    }


def lms_recipe(s: Any, begin: int, options: Options) -> Recipe:
    sigma = s.sigmas.tolist()
    rows = {"table": tuple(sigma), "begin": begin, "order": options["order"]}
    return recipe_of(s, lms, sigma[begin:], rows, begin)


FAMILIES = {
    "LMSDiscreteScheduler": Family(
        setup=lms_setup,
        schedule=lms_schedule,
        recipe=lms_recipe,
        input_scale=input_scale,
        options=("order",),
        local=("derivatives",),
        output="LMSDiscreteSchedulerOutput",
        early=True,
        noising=sigma_noising,
    ),
}
