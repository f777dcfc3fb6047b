# SPDX-License-Identifier: Apache-2.0
"""Schedulers in the EDM frame x = x0 + σz: what their tables and timesteps have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pydiffcore.adapters.diffusers import betas, spacing
from pydiffcore.adapters.diffusers.family import PREDICTIONS, placed
from pydiffcore.adapters.diffusers.recipe import Recipe

__all__ = ["curve", "doubled", "input_scale", "levels", "one_of", "prediction", "sigma_table"]

Array = NDArray[Any]


def input_scale(s: Any, index: int) -> float:
    """1/sqrt(σ² + 1): the network sees a state of the variance-preserving process."""
    return float((s.sigmas[index].item() ** 2 + 1) ** -0.5)


def prediction(s: Any) -> Any:
    """What the network's output means."""
    return PREDICTIONS[s.config.prediction_type]


def one_of(**given: Any) -> None:
    """Refuse any number but one of the arguments that decide the timesteps.

    Raises:
        ValueError: none or several are given.

    """
    names = " or ".join(given)
    there = [name for name, value in given.items() if value is not None]
    if len(there) != 1:
        raise ValueError(f"expected exactly one of {names}, got {' and '.join(there) or 'none'}")


def no_curve(config: Mapping[str, Any], name: str) -> None:
    """Refuse custom timesteps where the configuration asks for a curve of sigmas.

    Raises:
        ValueError: it does.

    """
    for each in (*spacing.CURVES, "use_lu_lambdas"):
        if config.get(each):
            raise ValueError(f"{name} cannot be set with {each}, which sets them itself")


def sigma_table(s: Any, schedules: tuple[str, ...] = betas.USUAL) -> dict[str, Any]:
    """Return betas and alphas, after a check of the configuration."""
    spacing.checked_choice(s.config)
    return betas.table(s.config, type(s), schedules, tiny=True)


def levels(
    s: Any, n: int, timesteps: Sequence[float] | None = None, train: int = 0
) -> tuple[Array, Array, Array]:
    """Return timesteps, their levels by linear interpolation, and the logarithm of the table."""
    table = spacing.sigmas_of(s.alphas_cumprod)
    if timesteps is None:
        at = spacing.spaced(s.config, n, whole=False, train=train)
    else:
        at = np.array(timesteps).astype(np.float32)
    return at, np.interp(at, np.arange(len(table)), table), np.log(table)


def curve(
    s: Any, at: Array, sigmas: Array, log_table: Array, n: int, whole: bool = False
) -> tuple[Array, Array]:
    """Return timesteps and levels of the curve that the configuration asks for, if it does."""
    curved = spacing.transformed(s.config, sigmas, n)
    if curved is None:
        return at, sigmas
    found = spacing.sigma_to_t(curved, log_table)
    return (found.round() if whole and s.config.use_karras_sigmas else found), curved


def doubled(values: torch.Tensor) -> torch.Tensor:
    """Return all but the ends twice: a step of two stages visits each level twice."""
    return torch.cat([values[:1], values[1:-1].repeat_interleave(2), values[-1:]])


def ended(sigmas: Array, last: float = 0.0) -> torch.Tensor:
    """Return the levels with the last one, float32."""
    return placed(np.append(sigmas, last).astype(np.float32), torch.float32)


def recipe_of(
    s: Any, sampler: Callable[..., Any], sigma: Sequence[float], options: Mapping[str, Any],
    begin: int, clip: tuple[float, float] | None = None, second: Any = None,
) -> Recipe:  # fmt: skip
    """Return the recipe of a run in the EDM frame."""
    return Recipe(
        sampler,
        tuple(sigma),
        prediction(s),
        clip=clip,
        options=tuple(options.items()),
        labels=tuple(float(t) for t in s.timesteps.tolist()[begin:]),
        second=second,
    )
