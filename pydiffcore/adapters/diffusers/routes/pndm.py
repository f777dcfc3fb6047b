# SPDX-License-Identifier: Apache-2.0
"""PNDM: pseudo Runge–Kutta steps, then pseudo linear multistep ones, between entries of a table.

Each call has its transfer, from one entry to another along a combination of outputs; where the
transfer starts is not always where the call was made.  Liu et al. 2022 (arXiv 2202.09778).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pydiffcore.adapters.diffusers import betas, spacing
from pydiffcore.adapters.diffusers.family import PREDICTIONS, VP, Family, placed, table_noising
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes.linear import bars, level, times

__all__ = ["FAMILIES"]

Options = Mapping[str, Any]
RUNGE_KUTTA = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
ADAMS = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


class Move(NamedTuple):
    """What a call leads to: from the state of call ``base`` along Σ weight·output of calls.

    ``bars`` are ᾱ where it starts and where it ends.
    """

    outputs: tuple[tuple[int, float], ...]
    base: int
    bars: tuple[float, float]


def pndm(x: Any, denoise: Any, levels: Any, noise: Any, *, moves: Sequence[Move], kind: str) -> Any:
    """Run the moves: eq. 11 of the paper with combinations of ε, or of v as diffusers has it."""
    alpha = levels.process.alpha_at(np.asarray(levels.sigma)).tolist()
    states: list[Any] = []
    outputs: list[Any] = []
    for i, (sigma, _) in enumerate(levels.steps()):
        D = denoise(x, sigma)
        states.append(alpha[i] * x)
        outputs.append(output(x, D, sigma, kind))
        weighted, base, ends = moves[i]
        e = sum(w * outputs[call] for call, w in weighted)
        x = transferred(states[base], e, ends, kind) / alpha[i + 1]
    return x


def output(x: Any, D: Any, sigma: float, kind: str) -> Any:
    """Return the network's own output, ε or v of the VP frame."""
    if kind == "epsilon":
        return (x - D) / sigma
    size = math.hypot(1.0, sigma)
    return (size / sigma) * ((1 / size**2) * x - D)


def transferred(X: Any, e: Any, ends: tuple[float, float], kind: str) -> Any:
    """DDIM's step from ᾱ to ᾱ' along e."""
    a, b = ends
    if kind == "v_prediction":
        e = math.sqrt(a) * e + math.sqrt(1 - a) * X
    below = a * math.sqrt(1 - b) + math.sqrt(a * (1 - a) * b)
    return math.sqrt(b / a) * X - ((b - a) / below) * e


def setup(s: Any) -> dict[str, Any]:
    return {
        **betas.table_with_end(s.config, type(s)),
        "init_noise_sigma": 1.0,
        "pndm_order": 4,
        "num_inference_steps": None,
        "_timesteps": np.arange(0, s.config.num_train_timesteps)[::-1].copy(),
        "prk_timesteps": None,
        "plms_timesteps": None,
        "timesteps": None,
    }


def schedule(s: Any, num_inference_steps: int) -> dict[str, Any]:
    n = num_inference_steps
    rising = spacing.spaced(s.config, n)[::-1]
    if s.config.skip_prk_steps:
        prk: NDArray[Any] = np.array([])
        plms = np.concatenate([rising[:-1], rising[-2:-1], rising[-1:]])[::-1].copy()
    elif n < s.pndm_order:
        raise ValueError(
            f"`num_inference_steps` must be >= {s.pndm_order} with Runge-Kutta steps, and is {n}; "
            "skip_prk_steps=True does without them"
        )
    else:
        half = s.config.num_train_timesteps // n // 2
        prk = rising[-4:].repeat(2) + np.tile(np.array([0, half]), 4)
        prk = prk[:-1].repeat(2)[1:-1][::-1].copy()
        plms = rising[:-3][::-1].copy()
    return {
        "num_inference_steps": n,
        "_timesteps": rising,
        "prk_timesteps": prk,
        "plms_timesteps": plms,
        "timesteps": placed(np.concatenate([prk, plms]).astype(np.int64)),
    }


def moves_from(s: Any, at: Sequence[int]) -> tuple[Move, ...]:
    """Return the move of each call at the timesteps of a run; it counts from its own beginning."""
    table, final = bars(s), float(s.final_alpha_cumprod.item())
    stride = s.config.num_train_timesteps // s.num_inference_steps

    def ends(start: int, stop: int) -> tuple[float, float]:
        return float(table[start]), float(table[stop]) if stop >= 0 else final

    moves: list[Move] = []
    kept: list[int] = []  # calls whose outputs the multistep formula reads, the newest first
    prk = [int(t) for t in s.prk_timesteps]
    for call, t in enumerate(at):
        if call < len(prk):
            stage, first = call % 4, call - call % 4
            kept = [call, *kept][:3] if stage == 0 else kept
            weights = tuple(zip(range(first, call + 1), RUNGE_KUTTA, strict=False))
            outputs = weights if stage == 3 else ((call, 1.0),)
            stop = t - (0 if call % 2 else stride // 2)
            moves.append(Move(outputs, first, ends(prk[first], stop)))
        elif call == 1 and not prk:  # the first step again, with the mean of both its ends
            moves.append(Move(((1, 0.5), (0, 0.5)), 0, ends(t + stride, t)))
        else:
            kept = [call, *kept][:4]
            outputs = tuple(zip(kept, ADAMS[len(kept) - 1], strict=True))
            moves.append(Move(outputs, call, ends(t, t - stride)))
    return tuple(moves)


def recipe(s: Any, begin: int, options: Options) -> Recipe:
    at, table, kind = times(s)[begin:], bars(s), s.config.prediction_type
    moves = moves_from(s, at)
    return Recipe(
        pndm,
        (*(level(table[t]) for t in at), level(moves[-1].bars[1])),
        PREDICTIONS[kind],
        frame=VP,
        options=(("moves", moves), ("kind", kind)),
        labels=tuple(float(t) for t in at),
    )


def counter(s: Any) -> int:
    """Return the number of calls that the run has made."""
    index = s._step_index
    return 0 if index is None else int(index - s._first)


FAMILIES = {
    "PNDMScheduler": Family(
        setup=setup,
        schedule=schedule,
        recipe=recipe,
        kinds=("epsilon", "v_prediction"),
        anywhere=True,
        noising=table_noising,
        second="",
        local=("_timesteps", "prk_timesteps", "plms_timesteps"),
        aliases=("step_prk", "step_plms"),
        members={"counter": property(counter)},
    ),
}
