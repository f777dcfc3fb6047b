# SPDX-License-Identifier: Apache-2.0
"""The probability-flow ODE in the process's own time and scaling X = s(t)·x."""

from __future__ import annotations

from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.process import Process
from pydiffcore.samplers.sde import times

__all__ = ["pf_euler", "pf_heun"]


def _slope(X: Any, t: float, denoise: Any, process: Process) -> Any:
    """dX/dt = (σ̇/σ + ṡ/s) X − (σ̇ s/σ) D(X/s; σ): Karras et al. 2022, Algorithm 1, line 4."""
    s, s_dot = float(process.alpha(t)), float(process.d_alpha(t))
    sigma, sigma_dot = float(process.level(t)), float(process.d_level(t))
    return (sigma_dot / sigma + s_dot / s) * X - sigma_dot * s / sigma * denoise(X / s, sigma)


def pf_euler(x: Any, denoise: Any, levels: Levels, noise: Any, *, process: Process) -> Any:
    """Euler's method on the probability-flow ODE in t: X' = X + (t' − t) dX/dt.

    Karras et al. 2022 (arXiv 2206.00364), eq. 81, with s(t) and σ(t) of the process.

    Args:
        process: gives s = alpha, σ = level and their derivatives.

    """
    steps = times(levels, process)
    X = float(process.alpha(steps[0][0])) * x
    for t, t_next in steps:
        X = X + (t_next - t) * _slope(X, t, denoise, process)
    return X / float(process.alpha(steps[-1][1]))


def pf_heun(
    x: Any,
    denoise: Any,
    levels: Levels,
    noise: Any,
    *,
    process: Process,
    stage: float = 1.0,
) -> Any:
    """Second-order Runge–Kutta on the probability-flow ODE in t; the last step is Euler's.

    X' = X + h[(1 − 1/(2a)) d + 1/(2a) d_a], d_a the slope at t + a h.
    Karras et al. 2022 (arXiv 2206.00364), Algorithm 1 at a = 1 and Algorithm 3 otherwise.

    Args:
        process: gives s = alpha, σ = level and their derivatives.
        stage: a, where the second slope is taken: 1 Heun, 1/2 midpoint, 2/3 Ralston.

    """
    if not 0 < stage <= 1:
        raise ValueError(f"stage is {stage}, expected a number in (0, 1]")
    steps = times(levels, process)
    X = float(process.alpha(steps[0][0])) * x
    for i, (t, t_next) in enumerate(steps):
        h = t_next - t
        d = _slope(X, t, denoise, process)
        if i + 1 == len(steps) and levels.sigma[-1] == 0:
            X = X + h * d
            continue
        d_stage = _slope(X + stage * h * d, t + stage * h, denoise, process)
        X = X + h * ((1 - 0.5 / stage) * d + 0.5 / stage * d_stage)
    return X / float(process.alpha(steps[-1][1]))
