# SPDX-License-Identifier: Apache-2.0
"""The run that a step belongs to: the one before, one that waits in a copy, or a new one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pydiffcore.adapters.diffusers.kept import kept_recipe, recipe_again
from pydiffcore.adapters.diffusers.noise import seeds_of
from pydiffcore.adapters.diffusers.paused import Paused
from pydiffcore.adapters.diffusers.run import Run

__all__ = ["running"]

NOISES = ("torch", "seeded")


def running(
    s: Any, values: dict[str, Any], index: int, timestep: Any, sample: Tensor, F: Tensor,
    options: dict[str, Any],
) -> Run:  # fmt: skip
    """Return the run at the row of a step.

    Raises:
        ValueError: noise is of no known kind.

    """
    state = torch.float64 if torch.float64 in (sample.dtype, F.dtype) else torch.float32
    given = bool(s.family.given) and options[s.family.given] is not None
    key = (s.noise, given, *(options[name] for name in s.family.options))
    schedule = (values["timesteps"], values.get("sigmas"))
    run: Run | Paused | None = values.get("_run")
    if isinstance(run, Paused):
        recipe = run.recipe or recipe_again(s, run.key, run.first, timestep, options)
        run = values["_run"] = Run.resumed(run, recipe, schedule)
    if run is not None and index >= 0:
        row = run.row_of(index)
        if s.family.by_time:
            run.row = row
        changed = key != run.key and run.state_only
        same = run.schedule[0] is schedule[0] and run.schedule[1] is schedule[1]
        if same and not changed and run.row == row and run.fits(sample, state, F.dtype):
            if run.seeds is None or run.seeds == seeds_again(options, sample, run, row):
                return run
    if s.noise not in NOISES:
        raise ValueError(f"noise is {s.noise!r}, expected 'torch' or 'seeded'")
    seeds = seeds_of(options.get("generator"), sample.shape[0]) if s.noise == "seeded" else None
    recipe = kept_recipe(s, values, index, timestep, options)
    spare: Run | None = values.get("_last")
    if (
        spare is not None
        and seeds is None
        and spare.recipe is recipe
        and (spare.seeds is None and spare.fits(sample, state, F.dtype))
    ):
        run = spare.again()
    else:
        run = Run(recipe, sample, state, F.dtype, seeds)
    run.key, run.schedule, run.first = key, schedule, index
    if s.family.by_time and index >= 0:
        run.row, run.first = index + 1, 0
    values["_run"] = run if index >= 0 else None
    values["_last"] = run
    return run


def seeds_again(
    options: dict[str, Any], sample: Tensor, run: Run, row: int
) -> list[int] | None:  # fmt: skip
    """Return the seeds that a step asks for: new ones where a run without any begins again."""
    generator = options.get("generator")
    if generator is None:
        return None if row == 1 else run.seeds
    return seeds_of(generator, sample.shape[0])
