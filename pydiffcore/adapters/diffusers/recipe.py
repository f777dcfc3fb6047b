# SPDX-License-Identifier: Apache-2.0
"""Recipes: what a scheduler's configuration and timesteps come to, and the plan made of it.

The plan differs from :func:`pydiffcore.trace` in one thing: the state goes to the caller after
every call, who may edit it.  Each query is therefore traced as the caller's, independent of all
that was known before, so that no register is ever derived from the state that was handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from pydiffcore.plan import Plan
from pydiffcore.plan.compile import compile_tape
from pydiffcore.plan.symbols import Symbol, Tape
from pydiffcore.prediction import Prediction
from pydiffcore.process import Process

__all__ = ["Recipe", "Visits", "plan_of"]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a plan, hashable.

    Attributes:
        sampler: a function (x, denoise, levels, noise, **options) as in pydiffcore.samplers.
        sigma: EDM levels of the steps, first to last; the last one ends the last step.  They may
            repeat or rise: ``levels`` is a :class:`Visits`.
        prediction: what the network's output means.
        frame: the process whose alpha scales the caller's state; None for the EDM frame.
        clip: bounds of D; with dynamic thresholding any, for the caller then hands D in.
        options: of the sampler, pairs (name, value), hashable.
        labels: of the network calls, for the plan's table.
        second: per call (a, b, s): the second thing that a step returns is a·X + b·D + s·z with the
            caller's state X; None where it is D.
        cycle: first and last of the plan's rows that are run over and over, for as many loops of a
            schedule as there are; None where the last row is the end.

    """

    sampler: Callable[..., Any]
    sigma: tuple[float, ...]
    prediction: Prediction
    frame: Process | None = None
    clip: tuple[float, float] | None = None
    options: tuple[tuple[str, Any], ...] = ()
    labels: tuple[float, ...] = ()
    second: tuple[tuple[float, float, float], ...] | None = None
    cycle: tuple[int, int] | None = None

    def after(self, row: int) -> int:
        """Return the row that follows another."""
        return self.cycle[0] if self.cycle is not None and row == self.cycle[1] else row + 1


@dataclass(frozen=True)
class Visits:
    """Levels as a sampler reads them, without a condition on their order."""

    sigma: np.ndarray[Any, np.dtype[np.float64]]
    process: Process | None
    name: str = "diffusers"

    def __len__(self) -> int:
        return len(self.sigma) - 1

    def steps(self) -> Iterator[tuple[float, float]]:
        """Yield (sigma_i, sigma_{i+1})."""
        yield from pairwise(self.sigma.tolist())


class Caller:
    """The denoiser of a traced sampler whose state is handed out before each call.

    After a call the sampler's own x is what came back.
    """

    def __init__(self, tape: Tape, clipped: bool) -> None:
        self.tape, self.clipped = tape, clipped

    def with_raw(self, x: Symbol, sigma: float) -> tuple[Symbol, Symbol]:
        """Return D after clipping and before it, of the state as the caller left it."""
        self.tape.call(x, sigma)
        call = len(self.tape.queries) - 1
        x.index = self.tape.push("x", call).index
        D = self.tape.push("D", call)
        return D, self.tape.push("raw", call) if self.clipped else D

    def __call__(self, x: Symbol, sigma: float) -> Symbol:
        return self.with_raw(x, sigma)[0]


@lru_cache(maxsize=128)
def plan_of(recipe: Recipe) -> Plan:
    """Trace a recipe's sampler; one row per network call after row 0, which changes nothing."""
    sigma = np.array(recipe.sigma, np.float64)
    tape = Tape()
    caller = Caller(tape, recipe.clip is not None)
    levels = Visits(sigma, recipe.frame)
    x = tape.push("x", 0)
    result = recipe.sampler(x, caller, levels, tape.draw, **dict(recipe.options))
    rows = compile_tape(tape, result.index, float(sigma[0]), handed_out=True)
    sigmas = np.array(tape.sigmas)
    c_skip, c_out, c_in, c_noise = recipe.prediction.coefficients(sigmas)
    plan = Plan(
        sampler=recipe.sampler.__name__,
        levels=levels.name,
        prediction=recipe.prediction.name,
        sigma=sigmas,
        sigma_init=float(sigma[0]),
        sigma_final=float(sigma[-1]),
        scale=np.ones(len(sigmas) + 1),
        scale_init=1.0,
        c_skip=c_skip,
        c_out=c_out,
        c_in=c_in,
        c_noise=np.array(recipe.labels) if len(recipe.labels) == len(sigmas) else c_noise,
        clip=recipe.clip,
        **rows,
    )
    return plan if recipe.frame is None else plan.scaled(recipe.frame)
