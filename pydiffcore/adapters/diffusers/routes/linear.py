# SPDX-License-Identifier: Apache-2.0
"""Steps without history: X' = a·X + b·D + c·D_raw + s·z in the caller's frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pydiffcore.adapters.diffusers.family import PREDICTIONS, VP
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.levels.core import UNBOUNDED
from pydiffcore.samplers.denoise import with_raw

__all__ = ["Step", "affine", "bars", "clip_of", "level", "root", "table_recipe", "times"]


class Step(NamedTuple):
    """X' = a·X + b·D + c·D_raw + s·z; ``second`` is (a, b, s) of what else the step returns."""

    a: float
    b: float
    c: float = 0.0
    s: float = 0.0
    second: tuple[float, float, float] = (0.0, 1.0, 0.0)


def affine(x: Any, denoise: Any, levels: Any, noise: Any, *, rows: Sequence[Step]) -> Any:
    """X' = a·X + b·D + c·D_raw + s·z, X = alpha·x with the alpha of each call's level."""
    sigmas = np.asarray(levels.sigma)
    alpha = np.ones_like(sigmas) if levels.process is None else levels.process.alpha_at(sigmas)
    for i, (sigma, sigma_next) in enumerate(levels.steps()):
        a, b, c, s = rows[i][:4]
        now, after = float(alpha[i]), float(alpha[i + 1])
        D, raw = with_raw(denoise, x, sigma)
        x = (a * now / after) * x + (b / after) * D
        if c != 0.0:
            x = x + (c / after) * raw
        if s != 0.0:
            x = x + (s / after) * noise(sigma, sigma_next)
    return x


def level(bar: Any) -> float:
    """Sqrt((1 − ᾱ)/ᾱ), the level of an entry of the table; large where ᾱ is 0."""
    bar = float(bar)
    return min(math.sqrt((1 - bar) / bar), UNBOUNDED) if bar > 0 else UNBOUNDED


def root(bar: Any) -> float:
    """Sqrt(ᾱ) of an entry of the table, of its level where it is 0."""
    return 1.0 / math.hypot(1.0, level(bar))


def bars(s: Any) -> NDArray[Any]:
    """Return the scheduler's ᾱ on the host, float32 unless the user has made it wider."""
    return np.asarray(s.alphas_cumprod.cpu().numpy())


def clip_of(s: Any) -> tuple[float, float] | None:
    """Return the bounds of D that the configuration asks for; any where D is thresholded."""
    if s.config.get("thresholding"):
        return (-1.0, 1.0)
    if s.config.get("clip_sample"):
        return (-s.config.clip_sample_range, s.config.clip_sample_range)
    return None


def times(s: Any) -> list[int]:
    """Return the scheduler's timesteps as whole numbers."""
    return [int(t) for t in s.timesteps.tolist()]


def table_recipe(
    s: Any, at: Sequence[int], end: float, steps: Sequence[Step], *, clip: bool = True
) -> Recipe:
    """Return the recipe of steps that begin at entries of the table and end at a level."""
    table = bars(s)
    plain = all(step.second == Step._field_defaults["second"] for step in steps)
    return Recipe(
        affine,
        (*(level(table[t]) for t in at), end),
        PREDICTIONS[s.config.prediction_type],
        frame=VP,
        clip=clip_of(s) if clip else None,
        options=(("rows", tuple(steps)),),
        labels=tuple(float(t) for t in at),
        second=None if plain else tuple(step.second for step in steps),
    )
