# SPDX-License-Identifier: Apache-2.0
"""Levels made of other levels: cut, started later, turned round, refined.

Each function returns new Levels with the process of the old ones and a name that tells what was
done.
"""

import math
from dataclasses import replace

import numpy as np

from pydiffcore.levels.core import UNBOUNDED, FloatArray, Levels
from pydiffcore.process import Process

__all__ = [
    "at_percent",
    "extend",
    "flip",
    "from_sigma",
    "insert",
    "set_first",
    "split",
    "start",
]


def split(
    levels: Levels, at: int | None = None, *, sigma: float | None = None
) -> tuple[Levels, Levels]:
    """Return the steps before a level and the steps from it; the level is in both.

    A stochastic sampler that runs the first part and then the second, with the same seeds, draws
    what it would have drawn over the whole list.

    Args:
        levels: at least two steps.
        at: number of steps of the first part, 1 to n - 1.
        sigma: cut at the last level that is at least this high, instead of a number of steps.

    Raises:
        TypeError: unless exactly one of at and sigma is given.
        ValueError: where a part would have no step.

    """
    if at is not None and sigma is None:
        cut, given = _whole("at", at), f"at = {at}"
    elif sigma is not None and at is None:
        cut = int(np.sum(np.logical_and.accumulate(levels.sigma >= sigma))) - 1
        given = f"sigma = {sigma!r}"
    else:
        raise TypeError("exactly one of at and sigma must be given")
    if not 1 <= cut < len(levels):
        raise ValueError(f"{given} leaves no step in a part of the {len(levels)} of {levels.name}")
    head = _edited(levels, levels.sigma[: cut + 1], f"split({levels.name}, {cut})[0]")
    tail = _edited(levels, levels.sigma[cut:], f"split({levels.name}, {cut})[1]")
    whole = head if levels.before is None else _joined(levels.before, head)
    return replace(head, before=levels.before), replace(tail, before=whole)


def _joined(first: Levels, second: Levels) -> Levels:
    """Return two parts of a list that share a level as the one list."""
    sigma = np.append(first.sigma, second.sigma[1:])
    name = f"{first.name} + {second.name}"
    return Levels(sigma, first.process, name, first.rising or second.rising)


def start(levels: Levels, strength: float) -> Levels:
    """Return the last int(n strength) steps: image to image as in diffusers.

    The state to start from is x0 + sigma z at the first level that is left.

    Args:
        levels: n steps.
        strength: share of the steps that are taken, in (0, 1]; 1 changes nothing.

    Raises:
        ValueError: for a strength out of range or one that leaves no step.

    """
    if not 0.0 < strength <= 1.0:
        raise ValueError(f"strength must lie in (0, 1], got {strength!r}")
    steps = int(len(levels) * strength)
    if steps == 0:
        raise ValueError(f"strength {strength!r} leaves none of the {len(levels)} steps")
    name = f"start({levels.name}, strength={float(strength)!r})"
    return _edited(levels, levels.sigma[len(levels) - steps :], name)


def from_sigma(levels: Levels, sigma: float) -> Levels:
    """Return the levels below sigma with sigma in front of them.

    Args:
        levels: falling levels.
        sigma: the new first level, above the last one.  One above all levels is a step more.

    Raises:
        ValueError: for a level that is not finite or not above the last one.

    """
    _falls(levels, "from_sigma")
    if not (math.isfinite(sigma) and sigma > levels.sigma[-1]):
        raise ValueError(f"sigma must be above {levels.sigma[-1]!r}, the last level, got {sigma!r}")
    rest = levels.sigma[levels.sigma < sigma]
    return _edited(levels, np.append(sigma, rest), f"from_sigma({levels.name}, {float(sigma)!r})")


def set_first(levels: Levels, sigma: float) -> Levels:
    """Return the levels with sigma in the place of the first one.

    Args:
        levels: any levels.
        sigma: the new first level.

    Raises:
        ValueError: where the result does not fall strictly; see Levels.

    """
    changed = np.append(sigma, levels.sigma[1:])
    return _edited(levels, changed, f"set_first({levels.name}, {float(sigma)!r})")


def flip(levels: Levels, lowest: float = 1e-4) -> Levels:
    """Return the levels in the other direction, from data to noise, for inversion.

    euler, heun and lms follow the probability-flow ODE in this direction too; most other samplers
    refuse it.

    Args:
        levels: falling or rising levels.
        lowest: takes the place of a level 0, where the ODE cannot start; below the next level.

    Raises:
        ValueError: for a lowest level that is not positive and below the next one.

    """
    sigma = levels.sigma[::-1].copy()
    if sigma[0] == 0.0:
        if not 0.0 < lowest < sigma[1]:
            raise ValueError(f"lowest must lie between 0 and {sigma[1]!r}, got {lowest!r}")
        sigma[0] = lowest
    return _edited(levels, sigma, f"flip({levels.name})")


def extend(
    levels: Levels,
    extra: int = 2,
    sigma_max: float = math.inf,
    sigma_min: float = 0.0,
    spacing: str = "linear",
) -> Levels:
    """Return the levels with extra ones between each two neighbours of a range.

    Args:
        levels: any levels.
        extra: levels to put between two neighbours, at least 0.
        sigma_max, sigma_min: only steps that begin within [sigma_min, sigma_max] are divided.
        spacing: "linear" in sigma; "log" in its logarithm (a step to 0 is then left whole);
            "cosine" with more of them near the lower level, "sine" near the upper one.

    Raises:
        ValueError: for a negative extra or another spacing.

    """
    between = _shares(_whole("extra", extra), spacing)
    pieces: list[FloatArray] = []
    for a, b in levels.jumps():
        pieces.append(np.array([a]))
        if sigma_min <= a <= sigma_max and not (spacing == "log" and b == 0.0):
            if spacing == "log":
                pieces.append(a * (b / a) ** between)
            else:
                pieces.append(a + (b - a) * between)
    sigma = np.concatenate([*pieces, levels.sigma[-1:]])
    ends = f"sigma_max={float(sigma_max)!r}, sigma_min={float(sigma_min)!r}"
    return _edited(levels, sigma, f"extend({levels.name}, {extra}, {ends}, {spacing!r})")


def _shares(extra: int, spacing: str) -> FloatArray:
    """Return where the extra levels lie between two neighbours, as shares of the way down."""
    u = np.arange(1, extra + 1) / (extra + 1)
    if spacing in ("linear", "log"):
        return u
    if spacing == "cosine":
        return np.sin(0.5 * math.pi * u)
    if spacing == "sine":
        return 1.0 - np.cos(0.5 * math.pi * u)
    raise ValueError(f"spacing must be 'linear', 'log', 'cosine' or 'sine', got {spacing!r}")


def insert(levels: Levels, sigma: float) -> Levels:
    """Return falling levels with one more among them, or as they are where it is there already.

    Args:
        levels: falling levels.
        sigma: the new level, not negative and finite.

    Raises:
        ValueError: for levels that rise or a level that is negative or not finite.

    """
    _falls(levels, "insert")
    merged = np.unique(np.append(levels.sigma, sigma))[::-1]
    return _edited(levels, merged, f"insert({levels.name}, {float(sigma)!r})")


def at_percent(process: Process, percent: float) -> float:
    """Return the level at a share of the process's time, counted from noise.

    0 is infinity and 1 is level 0, so that an interval of shares covers every level between them,
    whatever levels are visited; in between it is the level at t_max - percent (t_max - t_min).

    Args:
        process: whose time is meant.
        percent: in [0, 1].

    Raises:
        ValueError: for a share outside [0, 1].

    """
    if not 0.0 <= percent <= 1.0:
        raise ValueError(f"percent must lie in [0, 1], got {percent!r}")
    if percent in (0.0, 1.0):
        return math.inf if percent == 0.0 else 0.0
    t = process.t_max - percent * (process.t_max - process.t_min)
    return min(float(process.level(t)), UNBOUNDED)


def _whole(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise ValueError(f"{name} must be a whole number from 0, got {value!r}")
    return int(value)


def _falls(levels: Levels, what: str) -> None:
    if levels.rising:
        raise ValueError(f"{what} takes falling levels, {levels.name} may rise")


def _edited(levels: Levels, sigma: FloatArray, name: str) -> Levels:
    rising = bool(np.any(np.diff(sigma) > 0.0)) and (levels.rising or name.startswith("flip("))
    before = None if name.startswith("flip(") else levels.before
    return Levels(sigma, levels.process, name, rising, before)
