# SPDX-License-Identifier: Apache-2.0
"""LCM and TCD: few steps of a distilled network, each to D or below and up again with noise."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pydiffcore.adapters.diffusers.family import Family, placed, table_noising
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes.linear import Step, bars, level, root, table_recipe, times
from pydiffcore.adapters.diffusers.routes.table import at_most_trained, ddim_setup, falling

__all__ = ["FAMILIES"]

Options = Mapping[str, Any]
SIGMA_DATA = 0.5


def setup(s: Any) -> dict[str, Any]:
    return {**ddim_setup(s), "custom_timesteps": False}


def schedule(
    s: Any,
    num_inference_steps: int | None,
    original_inference_steps: int | None,
    timesteps: Sequence[int] | None,
    strength: float,
) -> dict[str, Any]:
    if (num_inference_steps is None) == (timesteps is None):
        raise ValueError("expected exactly one of num_inference_steps and timesteps")
    trained = distilled(s, original_inference_steps, strength)
    if timesteps is not None:
        return custom(s, list(timesteps), trained, strength)
    n = int(num_inference_steps or 0)
    at_most_trained(s, n)
    if len(trained) < n:
        raise ValueError(
            f"num_inference_steps is {n}, expected at most {len(trained)}: the timesteps that the "
            f"network was distilled at, times the strength {strength}"
        )
    places = np.floor(np.linspace(0, len(trained), num=n, endpoint=False)).astype(np.int64)
    return {"timesteps": placed(trained[::-1][places]), "num_inference_steps": n}


def distilled(s: Any, original: int | None, strength: float) -> NDArray[np.int64]:
    """Return the timesteps of the teacher's steps, rising."""
    N = s.config.num_train_timesteps
    original = s.config.original_inference_steps if original is None else original
    if original is None:
        return np.arange(int(N * strength))
    if original > N:
        raise ValueError(f"original_inference_steps is {original}, expected at most {N}")
    return np.arange(1, int(original * strength) + 1) * (N // original) - 1


def custom(
    s: Any, timesteps: list[int], trained: NDArray[np.int64], strength: float
) -> dict[str, Any]:
    N = s.config.num_train_timesteps
    falling(timesteps, N)
    unknown = sorted(set(timesteps) - set(trained.tolist()))
    if unknown or (strength == 1.0 and timesteps[0] != N - 1):
        logging.getLogger(__name__).warning(
            "timesteps %s, of which the network was not distilled at %s; it starts at %s",
            timesteps, unknown, N - 1,
        )  # fmt: skip
    n = len(timesteps)
    start = max(n - min(int(n * strength), n), 0)
    return {
        "timesteps": placed(timesteps[start:]),
        "num_inference_steps": n,
        "custom_timesteps": True,
    }


def lcm_step(bar: Any, before: Any, tau: float, last: bool) -> Step:
    """Luo et al. 2023 (arXiv 2310.04378), eq. 9 and Algorithm 3: f = c_out·D + c_skip·X, noised."""
    total = math.hypot(tau, SIGMA_DATA)
    skip, out = (SIGMA_DATA / total) ** 2, tau / total
    second = (skip, out, 0.0)
    if last:
        return Step(skip, out, 0.0, 0.0, second)
    up = root(before)
    return Step(up * skip, up * out, 0.0, math.sqrt(1 - float(before)), second)


def lcm_recipe(s: Any, begin: int, options: Options) -> Recipe:
    table, at = bars(s), times(s)
    steps, end = [], 0.0
    for i, t in enumerate(at):
        last = i == s.num_inference_steps - 1
        before = table[at[i + 1]] if i + 1 < len(at) else table[t]
        end = 0.0 if last else level(before)
        steps.append(lcm_step(table[t], before, t * s.config.timestep_scaling, last))
    return table_recipe(s, at[begin:], end, steps[begin:])


def tcd_step(bar: Any, before: Any, lower: Any, noisy: bool) -> Step:
    """Zheng et al. 2024 (arXiv 2402.19159), Algorithm 4: DDIM to ᾱ = lower, then up to before."""
    share = math.sqrt(1 - float(lower)) / math.sqrt(1 - float(bar))
    D = root(lower) - share * root(bar)
    second = (share, D, 0.0)
    if not noisy:
        return Step(share, D, 0.0, 0.0, second)
    ratio = before / lower
    up = math.sqrt(ratio)
    added = math.sqrt(max(float(type(ratio)(1) - ratio), 0.0))
    return Step(up * share, up * D, 0.0, added, second)


def tcd_recipe(s: Any, begin: int, options: Options) -> Recipe:
    table, at, eta = bars(s), times(s), options["eta"]
    if not 0 <= eta <= 1:
        raise ValueError(f"eta is {eta}, expected a number in [0, 1]")
    steps, end = [], 0.0
    for i, t in enumerate(at):
        after = at[i + 1] if i + 1 < len(at) else 0
        lower = table[int(np.floor(np.float32(1 - eta) * np.float32(after)))]
        noisy = eta > 0 and i != s.num_inference_steps - 1
        end = level(table[after] if noisy else lower)
        steps.append(tcd_step(table[t], table[after], lower, noisy))
    return table_recipe(s, at[begin:], end, steps[begin:], clip=False)


def not_last(s: Any, index: int, t: Any, options: Options) -> bool:
    return index != s.num_inference_steps - 1 and options.get("eta", 1.0) > 0


FAMILIES = {
    "LCMScheduler": Family(
        setup=setup,
        schedule=schedule,
        recipe=lcm_recipe,
        noising=table_noising,
        draws=not_last,
        output="LCMSchedulerOutput",
        second="denoised",
    ),
    "TCDScheduler": Family(
        setup=setup,
        schedule=schedule,
        recipe=tcd_recipe,
        noising=table_noising,
        draws=not_last,
        options=("eta",),
        output="TCDSchedulerOutput",
        second="pred_noised_sample",
    ),
}
