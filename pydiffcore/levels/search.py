# SPDX-License-Identifier: Apache-2.0
"""The levels that suit a model: searched by the error of the sampler's own trajectories.

Everything here is measured on a batch of starts x at the first level, with D(x, sigma) called as a
function; arrays may be NumPy's or torch's.  The truth is the probability-flow ODE,
dx / d log sigma = x - D, solved by the classical fourth-order Runge-Kutta method on fine levels.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from pydiffcore import process as processes
from pydiffcore.levels.continuous import exponential, karras
from pydiffcore.levels.core import FloatArray, Levels, step_count
from pydiffcore.levels.curves import kl_optimal
from pydiffcore.levels.number import ends
from pydiffcore.levels.starts import check_starts
from pydiffcore.process import Process

__all__ = ["Truncation", "optimal", "solve", "trajectory_error", "truncation"]

Denoise = Callable[[Any, float], Any]
# What an error counts for each step that follows it.  GITS has 1.15; which one suits differs, and
# the refinement starts from the best.
GROWTHS = (0.85, 1.0, 1.15)
STARTS = 3


@dataclass(frozen=True, eq=False)
class Truncation:
    """Where a sampler errs: one entry per step, from sigma[i] to sigma_next[i].

    Fields:
        sigma, sigma_next: levels of the steps, float64 [n].
        local: root mean square error of one step alone from the exact state, per element.
        gathered: that of the whole run after the step; nan where the sampler does not evaluate
            its state at the level that it has reached.
    """

    sigma: FloatArray
    sigma_next: FloatArray
    local: FloatArray
    gathered: FloatArray


def solve(denoiser: Denoise, x: Any, sigma: Sequence[float], substeps: int = 4) -> list[Any]:
    """Return the states of the probability-flow ODE at every level, the start x at the first.

    Classical Runge-Kutta steps, even in log sigma; the last step, to a level 0, is Euler's.

    Args:
        denoiser: D(x, sigma).
        x: [B, *] at the first level, in the EDM frame.
        sigma: levels, the last of which may be 0.
        substeps: steps between two levels.

    Source: Karras et al. 2022 (arXiv 2206.00364), eq. 1 with s = 1, in log sigma.

    """

    def slope(x: Any, u: float) -> Any:
        return x - denoiser(x, math.exp(u))

    states = [x]
    for a, b in pairwise(sigma):
        if b == 0.0:
            states.append(denoiser(x, float(a)))
            continue
        h, u = math.log(b / a) / substeps, math.log(a)
        for _ in range(substeps):
            k1 = slope(x, u)
            k2 = slope(x + h / 2 * k1, u + h / 2)
            k3 = slope(x + h / 2 * k2, u + h / 2)
            k4 = slope(x + h * k3, u + h)
            x, u = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), u + h
        states.append(x)
    return states


def trajectory_error(
    denoiser: Denoise,
    levels: Levels,
    sampler: Callable[..., Any],
    x: Any,
    truth: Any,
    **options: Any,
) -> float:
    """Return the root mean square difference, per element, of a sampler's result and the truth.

    Args:
        denoiser: D(x, sigma).
        levels, sampler, options: what is run.
        x: [B, *] at the first level, in the EDM frame.
        truth: [B, *], the exact result (see solve()).

    """
    return _distance(sampler(x, denoiser, levels, _no_noise, **options), truth)


def optimal(
    denoiser: Denoise,
    n: int,
    sampler: Callable[..., Any],
    x: Any = None,
    *,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    process: Process | None = None,
    points: int = 48,
    substeps: int = 2,
    rounds: int = 8,
    **options: Any,
) -> Levels:
    """Return the n steps whose end errs least for this denoiser and this deterministic sampler.

    Dynamic programming over a grid of levels finds the path of n steps with the least sum of
    one-step errors, each measured from the exact state, weighted by growth^(steps that follow)
    (growth 0.85, 1 and 1.15).  From the best of these paths and of karras(), exponential() and
    kl_optimal(), levels are then moved one at a time while the error of the whole run falls.

    It calls the denoiser about 4 points substeps times for the truth, points^2 / 2 times for each
    further stage of a step, and some hundred runs of n steps for the refinement.

    Args:
        denoiser: D(x, sigma); for a pydiffcore.Denoiser there is pydiffcore.optimal_levels.
        n: number of steps; the last one ends at 0.
        sampler: a deterministic sampler; a multistep one is measured without its history first.
        x: [B, *], starts of deviation sigma_max in the EDM frame.  The levels are fitted to them:
            take more of them (hundreds) where errors are rare and large.
        sigma_min, sigma_max: lowest possible level above 0 and first level.
        process: the process the levels belong to; edm() by default.
        points: levels of the grid.
        substeps: Runge-Kutta steps between two of them.
        rounds: passes over the levels in the refinement; 0 leaves the best start as it is.
        **options: the sampler's own; one by the name of an argument here, such as process, is
            bound with functools.partial(sampler, ...).

    Raises:
        TypeError: for a denoiser that is no function, or without x.
        ValueError: for n < 1, points < n, an x far smaller than sigma_max's noise, unless
            0 < sigma_min < sigma_max, for a sampler that draws noise, or results not finite.

    Source: Chen et al. 2024 (GITS, arXiv 2405.11326), section 4, for the dynamic programming.

    """
    low, high = ends(sigma_min, sigma_max)
    check_starts(denoiser, x, "sigma_max", high, "pydiffcore.optimal_levels")
    if points < step_count(n):
        raise ValueError(f"points must be at least n = {n}, got {points}")
    grid = exponential(points, low, high).sigma
    states = solve(denoiser, x, grid.tolist(), substeps)

    process = process or processes.edm()

    def error(sigma: FloatArray) -> float:
        levels = Levels(sigma, process, "optimal")
        return trajectory_error(denoiser, levels, sampler, x, states[-1], **options)

    costs = _costs(denoiser, partial(sampler, **options), grid, states, process)
    starts = [grid[_path(costs, n, growth)] for growth in GROWTHS]
    starts += [rule(n, low, high).sigma for rule in (karras, exponential, kl_optimal)]
    ranked = sorted(((error(sigma), k) for k, sigma in enumerate(starts)))
    found = [_refined(starts[k], e, error, low, rounds) for e, k in ranked[:STARTS]]
    best, sigma = min(found, key=lambda pair: pair[0])
    text = f"optimal(n={n}, sampler={_name(sampler)}, sigma_min={low!r}, sigma_max={high!r}"
    return Levels(sigma, process, f"{text}, error={best:.4g})")


def truncation(
    denoiser: Denoise,
    levels: Levels,
    sampler: Callable[..., Any],
    x: Any,
    *,
    substeps: int = 8,
    **options: Any,
) -> Truncation:
    """Return the errors of a deterministic sampler against sigma; see Truncation.

    The local error of a multistep sampler is that of its first step: alone it has no history.

    Args:
        denoiser: D(x, sigma).
        levels, sampler, options: what is run.
        x: [B, *] at the first level, in the EDM frame.
        substeps: Runge-Kutta steps of the truth between two levels.

    Source: Karras et al. 2022 (arXiv 2206.00364), figure 13 (appendix D.1).

    """
    sigma = levels.sigma.tolist()
    check_starts(denoiser, x, "the first level", sigma[0], "pydiffcore.truncation_error")
    states = solve(denoiser, x, sigma, substeps)
    run = partial(sampler, **options)
    local = []
    for i in range(len(levels)):
        step = Levels(levels.sigma[i : i + 2], levels.process, "one step")
        local.append(_step_error(denoiser, run, step, states[i], states[i + 1]))
    watched = _Watched(denoiser)
    seen = watched.seen
    seen[sigma[-1]] = run(x, watched, levels, _no_noise)
    gathered = [
        _distance(seen[at], truth) if at in seen else math.nan
        for at, truth in zip(sigma[1:], states[1:], strict=True)
    ]
    return Truncation(levels.sigma[:-1], levels.sigma[1:], np.array(local), np.array(gathered))


class _Watched:
    """A denoiser that keeps the last state it is called with at each level: earlier are stages."""

    def __init__(self, denoiser: Any) -> None:
        self.denoiser = denoiser
        self.seen: dict[float, Any] = {}

    def __call__(self, x: Any, sigma: float) -> Any:
        self.seen[float(sigma)] = x
        return self.denoiser(x, sigma)

    def with_raw(self, x: Any, sigma: float) -> Any:
        self.seen[float(sigma)] = x
        if hasattr(self.denoiser, "with_raw"):
            return self.denoiser.with_raw(x, sigma)
        D = self.denoiser(x, sigma)
        return D, D


def _name(sampler: Callable[..., Any]) -> str:
    inner = sampler.func if isinstance(sampler, partial) else sampler
    return str(getattr(inner, "__name__", type(inner).__name__))


def _no_noise(*interval: float) -> Any:
    raise ValueError("the search takes deterministic samplers; this one draws noise")


def _distance(a: Any, b: Any) -> float:
    difference = a - b
    return math.sqrt(float((difference * difference).mean()))


def _step_error(
    denoiser: Denoise, sampler: Callable[..., Any], step: Levels, state: Any, after: Any
) -> float:
    return _distance(sampler(state, denoiser, step, _no_noise), after)


def _costs(
    denoiser: Denoise,
    sampler: Callable[..., Any],
    grid: FloatArray,
    states: list[Any],
    process: Process,
) -> FloatArray:
    """Return the error of one step from the exact state at each level to each later one."""
    costs = np.full((grid.size, grid.size), np.inf)
    for i, state in enumerate(states[:-1]):
        first = denoiser(state, float(grid[i]))

        def kept(x: Any, sigma: float, i: int = i, first: Any = first) -> Any:
            # Every step from here begins with the same call.
            return first if x is states[i] and sigma == grid[i] else denoiser(x, sigma)

        for j in range(i + 1, grid.size):
            step = Levels(grid[[i, j]], process, "one step")
            costs[i, j] = _step_error(kept, sampler, step, state, states[j])
    finite = np.isfinite(costs[np.triu_indices(grid.size, 1)])
    if not finite.all():
        raise ValueError("the denoiser or the sampler returned values that are not finite")
    return costs


def _path(costs: FloatArray, n: int, growth: float) -> list[int]:
    """Return the indices of the path of n steps with the least weighted sum of costs."""
    last = len(costs) - 1
    rest = np.full(len(costs), np.inf)  # the least cost from each level to the end in k steps
    rest[last] = 0.0
    choices = []
    for _ in range(n):
        total = costs + growth * rest
        choices.append(np.argmin(total, axis=1))
        rest = total.min(axis=1)
    path = [0]
    for choice in reversed(choices):
        path.append(int(choice[path[-1]]))
    return path


def _refined(
    sigma: FloatArray, best: float, error: Callable[[FloatArray], float], low: float, rounds: int
) -> tuple[float, FloatArray]:
    """Move one level at a time by a part of the gap to its neighbour, while the error falls."""

    def levels_at(u: FloatArray) -> FloatArray:
        return np.concatenate([sigma[:1], np.exp(u[1:]), [0.0]])

    u = np.log(sigma[:-1])
    part = np.full(u.size, 0.3)
    for _ in range(rounds):
        for i in range(1, u.size):
            below = u[i + 1] if i + 1 < u.size else math.log(low)
            for gap in (u[i - 1] - u[i], below - u[i]):
                moved = u.copy()
                moved[i] += part[i] * gap
                if not moved[i - 1] > moved[i] > below:
                    continue
                found = error(levels_at(moved))
                if found < best:
                    best, u = found, moved
                    part[i] = min(0.5, 1.5 * part[i])
                    break
            else:
                part[i] /= 2
    return best, levels_at(u)
