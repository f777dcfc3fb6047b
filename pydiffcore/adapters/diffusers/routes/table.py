# SPDX-License-Identifier: Apache-2.0
"""DDIM and DDPM: steps between entries of a table of ᾱ, each found by its timestep.

The table is float32.  A difference of two of its entries' ratio from 1, which loses digits there,
is formed as diffusers forms it; all else is float64.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pydiffcore.adapters.diffusers import betas, spacing
from pydiffcore.adapters.diffusers.family import Family, placed, table_noising
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes.linear import Step, bars, level, root, table_recipe, times

__all__ = ["FAMILIES", "all_timesteps", "at_most_trained"]

Options = Mapping[str, Any]


def all_timesteps(n: int) -> Tensor:
    """Return N − 1 … 0."""
    return placed(np.arange(0, n)[::-1])


def at_most_trained(s: Any, n: int) -> None:
    """Refuse more steps than the network was trained with.

    Raises:
        ValueError: n > num_train_timesteps.

    """
    N = s.config.num_train_timesteps
    if n > N:
        raise ValueError(f"num_inference_steps is {n}, expected at most num_train_timesteps, {N}")


# ------------------------------------------------------------------------------------------ DDIM


def ddim_setup(s: Any) -> dict[str, Any]:
    return {
        **betas.table_with_end(s.config, type(s)),
        "init_noise_sigma": 1.0,
        "num_inference_steps": None,
        "timesteps": all_timesteps(s.config.num_train_timesteps),
    }


def ddim_schedule(s: Any, num_inference_steps: int) -> dict[str, Any]:
    at_most_trained(s, num_inference_steps)
    at = spacing.spaced(s.config, num_inference_steps)
    return {"timesteps": placed(at), "num_inference_steps": num_inference_steps}


def kept_signal(bar: Any, before: Any) -> Any:
    """ᾱ/ᾱ', the signal that a step of the process keeps.

    Betas near 1 take ᾱ below the smallest float32: two entries without signal tell nothing about
    each other, and steps elsewhere in the table must not fail on their 0/0.
    """
    return bar / before if before != 0 else type(bar)(0)


def ddim_variance(bar: Any, before: Any) -> float:
    """(1 − ᾱ')/(1 − ᾱ) (1 − ᾱ/ᾱ'), the posterior's."""
    one = type(bar)(1)
    return max(float((one - before) / (one - bar) * (one - kept_signal(bar, before))), 0.0)


def ddim_step(bar: Any, before: Any, eta: float, clipped: bool) -> Step:
    """Song et al. 2021 (arXiv 2010.02502), eq. 12 and 16, from ᾱ = bar to ᾱ' = before.

    The noise that the network predicts is (X − sqrt(ᾱ) D_raw)/sqrt(1 − ᾱ), or the one of D.
    """
    variance = ddim_variance(bar, before)
    std = eta * math.sqrt(variance)
    along = math.sqrt(max(1 - float(before) - std**2, 0.0)) / math.sqrt(1 - float(bar))
    of_D = -along * root(bar)
    b = root(before) + (of_D if clipped else 0.0)
    return Step(along, b, 0.0 if clipped else of_D, std)


def ddim_recipe(s: Any, at: Sequence[int], options: Options) -> Recipe:
    table, stride = bars(s), s.config.num_train_timesteps // s.num_inference_steps
    final = table.dtype.type(s.final_alpha_cumprod.item())
    before = [table[t - stride] if t >= stride else final for t in at]
    eta, clipped = float(options["eta"]), bool(options["use_clipped_model_output"])
    steps = [ddim_step(table[t], p, eta, clipped) for t, p in zip(at, before, strict=True)]
    return table_recipe(s, at, level(before[-1]), steps)


def ddim_draws(s: Any, index: int, timestep: Any, options: Options) -> bool:
    """Whether a step draws.

    Raises:
        ValueError: it does, and both a generator and variance_noise were given.

    """
    given = options["variance_noise"] is not None and options["generator"] is not None
    if options["eta"] > 0 and given:
        raise ValueError("generator and variance_noise were both given: noise comes from one")
    return bool(options["eta"] > 0)


# ------------------------------------------------------------------------------------------ DDPM

DDPM_BETAS = (*betas.USUAL, "laplace", "sigmoid")


def ddpm_setup(s: Any) -> dict[str, Any]:
    return {
        **betas.table(s.config, type(s), DDPM_BETAS),
        "one": torch.tensor(1.0),
        "init_noise_sigma": 1.0,
        "custom_timesteps": False,
        "num_inference_steps": None,
        "timesteps": all_timesteps(s.config.num_train_timesteps),
        "variance_type": s.config.variance_type,
    }


def falling(given: Sequence[int], N: int) -> None:
    """Refuse custom timesteps that do not fall, or that begin above the table.

    Raises:
        ValueError: they do not.

    """
    if any(b >= a for a, b in itertools.pairwise(given)):
        raise ValueError(f"timesteps are {list(given)}, expected them in descending order")
    if given[0] >= N:
        raise ValueError(f"timesteps start at {given[0]}, expected below num_train_timesteps, {N}")


def ddpm_schedule(
    s: Any, num_inference_steps: int | None, timesteps: Sequence[int] | None
) -> dict[str, Any]:
    if num_inference_steps is not None and timesteps is not None:
        raise ValueError("num_inference_steps and timesteps were both given, expected one")
    if timesteps is not None:
        falling(timesteps, s.config.num_train_timesteps)
        return {"timesteps": placed(timesteps), "custom_timesteps": True}
    if num_inference_steps is None:
        raise ValueError("num_inference_steps and timesteps are both None, expected one")
    return {**ddim_schedule(s, num_inference_steps), "custom_timesteps": False}


def ddpm_neighbours(s: Any, t: int) -> tuple[Any, Any]:
    """Return ᾱ at a timestep and at the one after it in the schedule, 1 after the last."""
    before = int(s.previous_timestep(t))
    table = bars(s)
    return table[t], table[before] if before >= 0 else table.dtype.type(1)


def ddpm_posterior(bar: Any, before: Any) -> tuple[float, float, float, float]:
    """Weights of X and D in the posterior's mean, its variance β̃, and β: Ho et al. 2020, eq. 7."""
    one, ratio = type(bar)(1), kept_signal(bar, before)
    beta, share = one - ratio, (one - before) / (one - bar)
    of_x = math.sqrt(ratio) * float(share)
    of_D = math.sqrt(before) * float(beta) / float(one - bar)
    return of_x, of_D, max(float(share * beta), 1e-20), float(beta)


def ddpm_step(kind: str, t: int, bar: Any, before: Any) -> Step:
    of_x, of_D, small, large = ddpm_posterior(bar, before)
    deviation = 1.0 if kind == "learned" else math.sqrt(large if "large" in kind else small)
    return Step(of_x, of_D, 0.0, deviation if t > 0 else 0.0)


def ddpm_recipe(s: Any, at: Sequence[int], options: Options) -> Recipe:
    table = bars(s)
    ends = [*(table[t] for t in at[1:]), ddpm_neighbours(s, at[-1])[1]]
    kind = s.variance_type
    steps = [ddpm_step(kind, t, table[t], p) for t, p in zip(at, ends, strict=True)]
    return table_recipe(s, at, level(ends[-1]), steps)


def ddpm_split(s: Any, F: Tensor, sample: Tensor, timestep: Any) -> tuple[Tensor, Tensor | None]:
    """Split a network's output into F and the factors of the noise that it learnt, if it did."""
    kind = s.variance_type
    if kind not in ("learned", "learned_range"):
        return F, None
    if F.shape[1] != 2 * sample.shape[1]:
        raise ValueError(
            f"model_output has {F.shape[1]} channels, expected {2 * sample.shape[1]}: "
            f"variance_type {kind!r} reads the second half"
        )
    F, v = torch.split(F, sample.shape[1], dim=1)
    if kind == "learned":
        return F, v**0.5
    _, _, small, large = ddpm_posterior(*ddpm_neighbours(s, int(timestep)))
    return F, torch.exp((v + 1) / 2 * (0.5 * math.log(large / small)))


def previous_timestep(s: Any, timestep: Any) -> Any:
    """Return the timestep after this one in the schedule, -1 after the last."""
    if not (s.custom_timesteps or s.num_inference_steps):
        return timestep - 1
    at = times(s)
    if timestep not in at:
        raise IndexError(
            f"timestep is {timestep}, expected one of the scheduler's {len(at)} timesteps, "
            f"{at[:3]} … {at[-1:]}"
        )
    place = at.index(int(timestep))
    return torch.tensor(-1 if place + 1 == len(at) else at[place + 1])


FAMILIES = {
    "DDIMScheduler": Family(
        setup=ddim_setup,
        schedule=ddim_schedule,
        recipe=ddim_recipe,
        by_time=True,
        noising=table_noising,
        draws=ddim_draws,
        options=("eta", "use_clipped_model_output"),
        output="DDIMSchedulerOutput",
    ),
    "DDPMScheduler": Family(
        setup=ddpm_setup,
        schedule=ddpm_schedule,
        recipe=ddpm_recipe,
        by_time=True,
        early=True,
        noising=table_noising,
        draws=lambda s, index, t, options: bool(t > 0),
        output="DDPMSchedulerOutput",
        split=ddpm_split,
        members={"previous_timestep": previous_timestep},
    ),
}
