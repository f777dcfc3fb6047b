# SPDX-License-Identifier: Apache-2.0
"""UniPC: pydiffcore.samplers.unipc on diffusers' timesteps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pydiffcore.adapters.diffusers import spacing
from pydiffcore.adapters.diffusers.family import Family
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes import log_snr
from pydiffcore.samplers import unipc

__all__ = ["FAMILIES", "shifted_flow", "whole_schedule"]

Options = Mapping[str, Any]


def unipc_setup(s: Any) -> dict[str, Any]:
    if s.config.shift_terminal is not None and not s.config.use_flow_sigmas:
        raise ValueError("shift_terminal was given, which only use_flow_sigmas has")
    if s.config.solver_p is not None:
        raise NotImplementedError("solver_p: another scheduler as the predictor cannot be fused")
    made = log_snr.setup_tables(s)
    others = dict.fromkeys(("midpoint", "heun", "logrho"), "bh2")
    log_snr.renamed(s, solver_type=(("bh1", "bh2"), others))
    order = s.config.solver_order
    return {
        **made,
        "predict_x0": s.config.predict_x0,
        "disable_corrector": s.config.disable_corrector,
        "solver_p": None,
        **emptied(order),
        "timestep_list": [None] * order,
    }


def emptied(order: int) -> dict[str, Any]:
    """Return the history that diffusers' attributes show before a run."""
    return {"model_outputs": [None] * order, "lower_order_nums": 0, "last_sample": None}


def shifted_flow(s: Any, n: int, mu: float | None, sigmas: Any) -> np.ndarray[Any, Any]:
    """Return flow times, shifted as the configuration says, below 1."""
    config = s.config
    if sigmas is None:
        sigmas = np.linspace(1, 1 / config.num_train_timesteps, n + 1)[:-1]
    at = np.array(sigmas, np.float64)
    if config.get("use_dynamic_shifting"):
        assert mu is not None
        factor = math.exp(mu) if config.time_shift_type == "exponential" else mu
        at = factor / (factor + (1 / at - 1))
    else:
        at = log_snr.flow_sigmas(at, config.flow_shift)
    if config.get("shift_terminal"):
        at = 1 - (1 - at) / ((1 - at[-1]) / (1 - config.shift_terminal))
    if abs(at[0] - 1) < 1e-6:
        at[0] -= 1e-6
    return at


def whole_schedule(
    s: Any, n: int, mu: float | None = None, sigmas: Any = None
) -> dict[str, torch.Tensor]:
    """Return timesteps and sigmas: curves end at their own last level, the table at its first."""
    config, table = s.config, log_snr.table_of(s)
    at: Any = log_snr.spaced_without_end(config, n, config.num_train_timesteps)
    curve = spacing.transformed(config, table[::-1], n)
    if curve is not None and config.use_karras_sigmas and config.use_flow_sigmas:
        levels = curve / (curve + 1)
        at = levels * config.num_train_timesteps
    elif curve is not None:
        levels = curve
        at = spacing.sigma_to_t(curve, np.log(table))
        at = at.round() if config.use_karras_sigmas else at
    elif config.use_flow_sigmas:
        levels = shifted_flow(s, n, mu, sigmas)
        at = levels * config.num_train_timesteps
    else:
        levels = np.interp(at, np.arange(len(table)), table)
    own = curve is not None or config.use_flow_sigmas
    last = log_snr.last_level(s, float(levels[-1] if own else table[0]))
    return log_snr.timetable(at, levels, last)


def unipc_schedule(
    s: Any, num_inference_steps: int | None = None, sigmas: Any = None, mu: float | None = None
) -> dict[str, Any]:
    if s.config.use_dynamic_shifting and mu is None:
        raise ValueError("mu is None, but use_dynamic_shifting is set")
    if sigmas is not None and not s.config.use_flow_sigmas:
        raise ValueError("sigmas were given, which only use_flow_sigmas takes")
    n = num_inference_steps if sigmas is None else len(sigmas)
    if n is None:
        raise ValueError("num_inference_steps is None, expected it or sigmas")
    made = whole_schedule(s, n, mu, sigmas)
    return {**made, "num_inference_steps": n, **emptied(s.config.solver_order)}


def unipc_recipe(s: Any, begin: int, options: Options) -> Recipe:
    config = s.config
    made = log_snr.recipe_in_frame(
        s, begin, unipc, order=config.solver_order, variant=config.solver_type,
        predict="x0" if s.predict_x0 else "eps",
        disable=tuple(step - begin for step in s.disable_corrector),
        lower_order_final=bool(config.lower_order_final),
    )  # fmt: skip
    return made if s.predict_x0 else log_snr.unclipped(made)


FAMILIES = {
    "UniPCMultistepScheduler": Family(
        setup=unipc_setup,
        schedule=unipc_schedule,
        recipe=unipc_recipe,
        kinds=("epsilon", "sample", "v_prediction", "flow_prediction"),
        noising=log_snr.noising,
        second="",
        local=("model_outputs", "lower_order_nums", "last_sample"),
        members=log_snr.members,
    ),
}
