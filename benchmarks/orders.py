# SPDX-License-Identifier: Apache-2.0
"""Orders of convergence of the tests' deterministic cases, fitted against an exact solution.

The data are one-dimensional and Gaussian, for which the probability-flow ODE has a closed form; the
levels go from 10 to 0.05, evenly in ln σ but for short steps, O(1/n²), at both ends: an even first
step of order 1 has an error of O(1/n²), which would hide a multistep method's third order.  Those
in a process's own time have even steps there.  The slope of log error over log n is fitted over the
last three n at which the error is above rounding.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from pydiffcore import exact, levels, process

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import cases

SIZES = (48, 96, 192, 384, 768)  # multiples of 3, which dpm_fast ends alike
HIGHEST, LOWEST = 0.03, 1e-11
GAUSSIAN = exact.gaussian(np.array([0.4]), np.array([0.5]))
DETERMINISTIC = [
    case
    for case in cases.CASES
    if case.order is not None and "step_scale" not in case.options  # which solves another ODE
]


def levels_of(case: cases.Case, n: int) -> levels.Levels:
    """Return n steps that end above 0."""
    own = case.options.get("process")
    if own is cases.VE:
        return levels.uniform_t(n + 1, own, t_min=0.2, t_max=0.7, final_zero=False)
    if own is not None:
        return levels.uniform_t(n + 1, own, t_min=0.05, t_max=0.8, final_zero=False)
    u = np.linspace(0.0, 1.0, n + 1)
    return levels.explicit(10.0 * 0.005 ** (u * u * (3 - 2 * u)), process.vp())


def error(case: cases.Case, n: int) -> float:
    """Return the largest error of n steps from nine states."""
    at = levels_of(case, n)
    first, last = float(at.sigma[0]), float(at.sigma[-1])
    x = first * np.linspace(-2, 2, 9)[:, None]

    def no_noise(*interval: Any) -> Any:
        raise AssertionError("a deterministic sampler drew noise")

    found = case.sampler(x, GAUSSIAN, at, no_noise, **case.options)
    return float(np.abs(found - GAUSSIAN.solution(x, first, last)).max())


def fitted(case: cases.Case) -> tuple[float, str]:
    """Return the order of a case, and the n that it was fitted over."""
    errors = {n: error(case, n) for n in SIZES}
    used = [n for n, e in errors.items() if LOWEST < e < HIGHEST]
    used = used[-3:]
    if len(used) < 2:
        raise ValueError(f"{case.id} has too few errors in range: {errors}")
    slope = np.polyfit(np.log(used), np.log([errors[n] for n in used]), 1)[0]
    return -float(slope), f"n = {used[0]} … {used[-1]}"
