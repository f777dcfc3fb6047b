# SPDX-License-Identifier: Apache-2.0
"""What tells one scheduler from another, as data: a Family per name, made of plain functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pydiffcore import prediction, process
from pydiffcore.adapters.diffusers.recipe import Recipe

__all__ = ["PREDICTIONS", "VP", "Family", "placed", "sigma_noising", "table_noising"]

# The frame of a state x_t = sqrt(ᾱ) x0 + sqrt(1 − ᾱ) z: only its alpha, as a function of sigma.
VP = process.vp()
PREDICTIONS = {
    "epsilon": prediction.eps(VP),
    "sample": prediction.x0(VP),
    "original_sample": prediction.x0(VP),
    "v_prediction": prediction.v(VP),
}
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    """One scheduler.  ``s`` below is the scheduler, whose config and attributes a function reads.

    Attributes:
        setup: s → attributes that the constructor sets.
        schedule: (s, **arguments of set_timesteps but the device) → attributes that it sets;
            timesteps as a tensor on the CPU.
        recipe: (s, index, options) → the recipe of a run that begins at that index, or with
            ``by_time`` (s, timesteps, options) → that of steps at those timesteps.
        kinds: prediction types that it takes; others raise ``ValueError`` at the first step, those
            in ``missing`` ``NotImplementedError``.
        by_time: a step is found by the value of its timestep, at any time, and has no history; else
            by counting from the first one.
        integers: whether a step takes integers for timesteps.
        early: whether steps may be taken before set_timesteps.
        input_scale: (s, index) → factor of scale_model_input, None for 1.
        noising: (s, timesteps, like) → (alpha, sigma), one per sample, of add_noise.
        draws: (s, index, timestep, options) → whether diffusers draws noise at a step; None where
            the plan's row does.
        noise: (s, sample, index) → the unit normal [1, ...] of a row that has one, where it is not
            drawn from a generator.
        options: step arguments that decide the recipe.
        given: name of a step argument that hands D in.
        extra: step arguments that diffusers' own lacks, with defaults.
        upcasts: results have the dtype of the network's output, whatever the state's.
        output: name of diffusers' class for what a step returns.
        second: name of the second thing that a step returns, or "".
        local: names of attributes that set_timesteps sets, which are per thread.
        split: (s, output, sample, timestep) → F and factors of the noise, where it has both.
        outside: (s, output, sample, index, options) → the state after a step that no row takes, or
            None where a row does.
        anywhere: a run may begin at a time that is not in the schedule: it begins at the start.
        step, aliases: names of the method that steps.
        members: further members of the class.
        float32_noise: noise is drawn in float32 whatever the network's dtype.

    """

    setup: Callable[[Any], dict[str, Any]]
    schedule: Callable[..., dict[str, Any]]
    recipe: Callable[[Any, Any, Options], Recipe]
    kinds: tuple[str, ...] = ("epsilon", "sample", "v_prediction")
    missing: tuple[str, ...] = ()
    by_time: bool = False
    integers: bool = True
    early: bool = False
    input_scale: Callable[[Any, int], float] | None = None
    noising: Callable[[Any, Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    draws: Callable[[Any, int, Any, Options], bool] | None = None
    noise: Callable[[Any, Tensor, int], Tensor] | None = None
    options: tuple[str, ...] = ()
    given: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    upcasts: bool = False
    output: str = ""
    second: str = "pred_original_sample"
    local: tuple[str, ...] = ()
    float32_noise: bool = False
    anywhere: bool = False
    step: str = "step"
    aliases: tuple[str, ...] = ()
    split: Callable[[Any, Tensor, Tensor, Any], tuple[Tensor, Tensor | None]] | None = None
    outside: Callable[[Any, Tensor, Tensor, int, Options], Tensor | None] | None = None
    members: dict[str, Any] = field(default_factory=dict)


def placed(values: Any, dtype: torch.dtype = torch.int64) -> Tensor:
    """Return timesteps or sigmas as a tensor of a dtype."""
    return torch.from_numpy(np.array(values)).to(dtype)


def table_noising(s: Any, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Sqrt(ᾱ) and sqrt(1 − ᾱ) at integer timesteps of the table, in the sample's dtype."""
    s.alphas_cumprod = s.alphas_cumprod.to(device=like.device)
    bar = s.alphas_cumprod.to(dtype=like.dtype)[timesteps.to(like.device)]
    return bar**0.5, (1 - bar) ** 0.5


def indices(s: Any, timesteps: Tensor, device: torch.device) -> list[int]:
    """Return the places in the schedule that noise is added at, one per sample.

    In the middle of a run it is the place where the run stands, and before the first step of a
    partial one where it begins; the timesteps themselves count only otherwise.
    """
    if s.begin_index is None:
        schedule = s.timesteps.to(device)
        return [s.index_for_timestep(t, schedule) for t in timesteps.to(device)]
    at = s.begin_index if s.step_index is None else s.step_index
    return [at] * timesteps.shape[0]


def sigma_noising(s: Any, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """1 and sigma of the schedule."""
    sigma = s.sigmas.to(device=like.device, dtype=like.dtype)[indices(s, timesteps, like.device)]
    return torch.ones_like(sigma), sigma
