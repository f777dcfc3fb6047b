# SPDX-License-Identifier: Apache-2.0
"""Schedulers that keep α·x0 + σ·z and step in λ = log(α/σ): tables, timesteps, frames, endings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore import process
from pydiffcore.adapters.diffusers import spacing
from pydiffcore.adapters.diffusers.family import VP, indices
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes.sigma import sigma_table
from pydiffcore.prediction import Prediction

__all__ = [
    "closest_index", "edm_levels", "flow_sigmas", "flow_times", "last_level", "last_timestep",
    "levels_left",
    "members", "noising",
    "orders_of", "predicted", "recipe_in_frame", "renamed", "schedule", "setup_tables", "shift_by",
    "spaced_without_end", "timetable", "unclipped", "without_variance",
]  # fmt: skip

Array = NDArray[Any]
FLOW = process.flow()


# ----------------------------------------------------------------------------------- attributes


def setup_tables(s: Any) -> dict[str, Any]:
    """Return the tables that these schedulers have from their construction on."""
    made = sigma_table(s)
    bar = made["alphas_cumprod"]
    alpha, sigma = torch.sqrt(bar), torch.sqrt(1 - bar)
    at = np.linspace(0, len(bar) - 1, len(bar), dtype=np.float32)[::-1].copy()
    return {
        **made,
        "alpha_t": alpha,
        "sigma_t": sigma,
        "lambda_t": torch.log(alpha) - torch.log(sigma),
        "sigmas": ((1 - bar) / bar) ** 0.5,
        "init_noise_sigma": 1.0,
        "num_inference_steps": None,
        "timesteps": torch.from_numpy(at),
    }


def renamed(s: Any, **choices: tuple[tuple[str, ...], Mapping[str, str]]) -> None:
    """Replace words of other schedulers in the configuration by this one's.

    Args:
        s: the scheduler.
        choices: of an option, its words, and by which of them another scheduler's are replaced.

    Raises:
        NotImplementedError: a word that none of them has.

    """
    for name, (words, others) in choices.items():
        given = s.config[name]
        if given in words:
            continue
        if given not in others:
            raise NotImplementedError(
                f"{name} is {given!r}, which {type(s).__name__} has not: expected one of {words}"
            )
        s.register_to_config(**{name: others[given]})


# ------------------------------------------------------------------------------------- schedules


def spaced_without_end(config: Mapping[str, Any], n: int, last: int) -> Array:
    """Return n falling timesteps of n + 1 in 0 … last − 1, without the one that ends the run."""
    kind = config["timestep_spacing"]
    if kind == "linspace":
        return np.linspace(0, last - 1, n + 1).round()[::-1][:-1].copy().astype(np.int64)
    if kind == "leading":
        ratio = last // (n + 1)
        at = (np.arange(0, n + 1) * ratio).round()[::-1][:-1].copy().astype(np.int64)
        return np.asarray(at + config["steps_offset"])
    if kind == "trailing":
        ratio = config["num_train_timesteps"] / n
        return np.asarray(np.arange(last, 0, -ratio).round().astype(np.int64) - 1)
    raise ValueError(f"timestep_spacing is {kind!r}, expected {spacing.SPACINGS}")


def last_timestep(s: Any) -> int:
    """Return how many timesteps have λ above lambda_min_clipped."""
    clipped = s.config.get("lambda_min_clipped", -math.inf)
    least = torch.searchsorted(torch.flip(s.lambda_t, [0]), clipped)
    return int(s.config.num_train_timesteps - least)


def table_of(s: Any) -> Array:
    """Return the levels of the whole process, rising, in the precision of the table."""
    return spacing.sigmas_of(s.alphas_cumprod)


def last_level(s: Any, least: float) -> float:
    """Return the level that the last step ends at.

    Raises:
        ValueError: final_sigmas_type is neither of the two.

    """
    kind = s.config.final_sigmas_type
    if kind not in ("zero", "sigma_min"):
        raise ValueError(f"final_sigmas_type is {kind!r}, expected 'zero' or 'sigma_min'")
    return 0.0 if kind == "zero" else least


def flow_sigmas(sigmas: Array, shift: float) -> Array:
    """Shift·σ/(1 + (shift − 1)σ): Esser et al. 2024 (arXiv 2403.03206), eq. 23."""
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def flow_times(s: Any, n: int) -> Array:
    """Return n falling flow times, shifted, of n + 1 between 1 − 1/N and 0 without the last."""
    rising = 1.0 - np.linspace(1, 1 / s.config.num_train_timesteps, n + 1)
    return np.flip(flow_sigmas(rising, s.config.flow_shift))[:-1].copy()


def shift_by(s: Any, mu: float | None) -> None:
    """Take exp(mu) for the configuration's shift of flow times.

    Raises:
        AssertionError: the configuration has no dynamic shift.

    """
    if mu is not None:
        if not (s.config.use_dynamic_shifting and s.config.time_shift_type == "exponential"):
            raise AssertionError("mu was given, but use_dynamic_shifting is not set")
        s.config.flow_shift = np.exp(mu)


def schedule(s: Any, n: int, curve_at: Callable[[Array], Array] = np.round) -> dict[str, Tensor]:
    """Return timesteps and sigmas that end at the last level above 0, or at 0 if so configured.

    Args:
        s: the scheduler.
        n: number of steps.
        curve_at: rounding of a Karras curve's timesteps.

    """
    config, table = s.config, table_of(s)
    at = spaced_without_end(config, n, last_timestep(s))
    curve = spacing.transformed(config, table[::-1], n)
    if curve is not None:
        levels, at = curve, spacing.sigma_to_t(curve, np.log(table))
        at = curve_at(at) if config.use_karras_sigmas else at
    elif is_flow(s):
        levels = flow_times(s, n)
        at = levels * config.num_train_timesteps
    else:
        levels = np.interp(at, np.arange(len(table)), table)
    own = curve is not None or is_flow(s)
    return timetable(at, levels, levels[-1] if own else table[0])


def timetable(at: Any, levels: Any, last: float) -> dict[str, Tensor]:
    """Return timesteps as whole numbers, and the levels with the last one."""
    return {
        "sigmas": torch.from_numpy(np.append(levels, last).astype(np.float32)),
        "timesteps": torch.from_numpy(np.array(at)).to(torch.int64),
    }


def closest_index(s: Any, timestep: Any, schedule_timesteps: Tensor | None = None) -> int:
    """Return where a timestep stands, the second of equal ones, the last place for another one."""
    schedule = s.timesteps if schedule_timesteps is None else schedule_timesteps
    found = (schedule == timestep).nonzero()
    if not len(found):
        return len(s.timesteps) - 1
    return int(found[1 if len(found) > 1 else 0].item())


# ---------------------------------------------------------------------------------------- frames


def is_flow(s: Any) -> bool:
    """Whether the state is (1 − σ)·x0 + σ·z."""
    return bool(s.config.get("use_flow_sigmas"))


def alpha_and_sigma(s: Any, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """α and σ_t of the scheduler's own sigmas."""
    if is_flow(s):
        return 1 - sigma, sigma
    alpha = 1 / ((sigma**2 + 1) ** 0.5)
    return alpha, sigma * alpha


def noising(s: Any, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """α and σ_t of add_noise."""
    sigma = s.sigmas.to(device=like.device, dtype=like.dtype)
    return alpha_and_sigma(s, sigma[indices(s, timesteps, like.device)])


@cache
def predicted(kind: str, flow: bool) -> Prediction:
    """What the network's output means: D from the caller's state α·x and F."""

    def coefficients(sigma: Any) -> Any:
        sigma = np.asarray(sigma, np.float64)
        alpha = 1 / (1 + sigma) if flow else 1 / np.hypot(1, sigma)
        c_skip, c_out = {
            "epsilon": (np.ones_like(sigma), -sigma),
            "sample": (np.zeros_like(sigma), np.ones_like(sigma)),
            "v_prediction": (alpha**2, -alpha * sigma),
            "flow_prediction": (alpha, -alpha * sigma if flow else -sigma),
        }[kind]
        return c_skip, c_out, alpha, np.zeros_like(sigma)

    return Prediction(f"{kind}({'flow' if flow else 'vp'})", coefficients)


def levels_left(s: Any, begin: int) -> Tensor:
    """Return the levels of the steps from an index on, as many as there are timesteps and one.

    Callers cut timesteps and leave the levels: as in diffusers the first levels are then visited.

    Raises:
        IndexError: there are fewer.

    """
    needed = len(s.timesteps) + 1
    if len(s.sigmas) < needed:
        raise IndexError(
            f"sigmas has {len(s.sigmas)} levels, expected {needed} for {needed - 1} timesteps"
        )
    left: Tensor = s.sigmas[begin:needed].double()
    return left


def edm_levels(s: Any, begin: int) -> tuple[float, ...]:
    """Return the EDM levels of the steps from an index on; a flow's σ/(1 − σ)."""
    sigma = levels_left(s, begin).cpu().numpy()
    return tuple((sigma / (1 - sigma) if is_flow(s) else sigma).tolist())


def recipe_in_frame(s: Any, begin: int, sampler: Callable[..., Any], **options: Any) -> Recipe:
    """Return the recipe of a run from an index on, in the scheduler's frame."""
    return Recipe(
        sampler,
        edm_levels(s, begin),
        predicted(s.config.prediction_type, is_flow(s)),
        frame=FLOW if is_flow(s) else VP,
        clip=(-1.0, 1.0) if s.config.thresholding else None,
        options=tuple(options.items()),
        labels=tuple(float(t) for t in s.timesteps.tolist()[begin:]),
    )


def unclipped(recipe: Recipe) -> Recipe:
    """Return a recipe whose D is used as it is."""
    return replace(recipe, clip=None)


def without_variance(
    s: Any, output: Tensor, sample: Tensor, timestep: Any
) -> tuple[Tensor, Tensor | None]:
    """Return the predicted noise of a network that also learned a variance, and no factor."""
    learned = s.config.get("variance_type") in ("learned", "learned_range")
    learned &= s.config.prediction_type == "epsilon"
    return (output[:, : sample.shape[1]] if learned else output), None


def orders_of(n: int, order: int, *, first_at_end: bool, lower_at_end: bool) -> Sequence[int]:
    """Return the order of each of n steps: 1, 2, … while history is short, and down at the end."""
    found = [min(i + 1, order) for i in range(n)]
    if lower_at_end:
        found = [min(k, n - i) for i, k in enumerate(found)]
    return [*found[:-1], 1] if first_at_end and found else found


members: dict[str, Any] = {"index_for_timestep": closest_index}
