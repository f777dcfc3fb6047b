# SPDX-License-Identifier: Apache-2.0
"""The recipe of the run before, where nothing that it is made of has changed since."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from pydiffcore.adapters.diffusers.place import number
from pydiffcore.adapters.diffusers.recipe import Recipe

__all__ = ["kept_recipe", "recipe_again"]


def kept_recipe(s: Any, values: dict[str, Any], index: int, timestep: Any, options: Any) -> Recipe:
    """Return the recipe of a run that begins at an index.

    A policy runs ten steps at a time, for which making it anew would cost more than the steps.
    Only steps that are found by time are remembered: they read numbers, their schedule and tables,
    while others may read what can change unnoticed.
    """
    own = [value for name, value in s.__dict__.items() if name != "_threads"]
    tables = [each for each in own if isinstance(each, Tensor)]
    if not s.family.by_time or any(each.is_inference() for each in tables):  # without a version
        return made_recipe(s, index, timestep, options)
    seen = (
        [each.tolist() for each in values.values() if isinstance(each, Tensor)],
        [each for each in values.values() if isinstance(each, int | float | str)],
        [each for each in own if isinstance(each, int | float | str)],
        [(id(each), each._version) for each in tables],
        None if index >= 0 else float(number(timestep)),
        [options[name] for name in s.family.options],
    )
    kept = values.get("_recipe")
    if kept is None or kept[0] != seen or kept[1] is not s.config:
        made = made_recipe(s, index, timestep, options)
        kept = values["_recipe"] = (seen, s.config, tables, made)
    recipe: Recipe = kept[3]
    return recipe


def recipe_again(s: Any, key: tuple[Any, ...], first: int, timestep: Any, options: Any) -> Recipe:
    """Make the recipe of a run once more, with the options that it began with.

    Args:
        s: the scheduler.
        key: of the run: its kind of noise, whether D was handed in, and values of the options.
        first: index of its first step.
        timestep: of the step to come.
        options: of the step to come.

    """
    began = {**options, **dict(zip(s.family.options, key[2:], strict=True))}
    if s.family.given and not key[1]:
        began[s.family.given] = None
    return made_recipe(s, first, timestep, began)


def made_recipe(s: Any, index: int, timestep: Any, options: Any) -> Recipe:
    """Make the recipe of a run.

    Raises:
        ValueError: a prediction type that the scheduler does not know.
        NotImplementedError: one that diffusers' own has not implemented.
        IndexError: a timestep that it has no levels at.

    """
    kind = s.config.get("prediction_type", "epsilon")
    if kind in s.family.missing:
        raise NotImplementedError(f"prediction_type {kind!r} of {type(s).__name__}")
    if kind not in s.family.kinds:
        raise ValueError(
            f"prediction_type is {kind!r}, expected one of {', '.join(s.family.kinds)}"
        )
    make: Callable[..., Recipe] = s.family.recipe
    if not s.family.by_time:
        return make(s, index, options)
    at = s.timesteps.tolist() if index >= 0 else [number(timestep)]
    if s.timesteps.is_floating_point():
        return make(s, [float(t) for t in at], options)
    return make(s, [whole(t, s.config.num_train_timesteps) for t in at], options)


def whole(t: Any, N: int) -> int:
    """Return a timestep as an index of the table, from its end where it is negative.

    Raises:
        IndexError: it is none.

    """
    if not -N <= t < N or t != int(t):
        raise IndexError(f"timestep is {t}, expected a whole number below num_train_timesteps, {N}")
    return int(t)
