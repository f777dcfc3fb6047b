# SPDX-License-Identifier: Apache-2.0
"""Processes: how clean data turns into noise.

A process says, for each time t, how much signal and how much unit normal noise eps a sample has:

    x_t = alpha(t) x0 + sigma(t) eps,        level(t) = sigma(t) / alpha(t).

The level is the noise standard deviation in the EDM frame x = x_t / alpha = x0 + level * z, the
frame in which samplers work; time() is the inverse of level().  Equivalently, x_t solves

    dx = f(t) x dt + g(t) dw,    f = alpha' / alpha,    g = alpha sqrt(2 level level').

Two processes are equal when their names are: a name states every parameter.
All functions take a number or a float64 array and return the same shape in float64.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Curve = Callable[[ArrayLike], Any]


@dataclass(frozen=True, kw_only=True)
class Process:
    """A noising process as functions of time, x_t = alpha(t) x0 + sigma(t) eps.

    Fields:
        name: the process and all its parameters; equality and hash use it.
        alpha, sigma: signal and noise scale of x_t at time t.
        level: sigma / alpha, increasing in t; may be infinite where alpha is 0.
        time: the inverse of level.
        alpha_at: alpha as a function of the level; accurate where time loses digits (flow, t -> 1).
        d_alpha, d_level: derivatives in time.
        diffusion: g(t) of the forward SDE, alpha sqrt(2 level d_level) with its limits.
        label: what networks trained on this process are told at time t.
        t_min, t_max: the times between which sampling runs by default.
        size: the number of entries of a tabulated process, None for a continuous one.
    """

    name: str
    alpha: Curve = field(compare=False, repr=False)
    sigma: Curve = field(compare=False, repr=False)
    level: Curve = field(compare=False, repr=False)
    time: Curve = field(compare=False, repr=False)
    alpha_at: Curve = field(compare=False, repr=False)
    d_alpha: Curve = field(compare=False, repr=False)
    d_level: Curve = field(compare=False, repr=False)
    diffusion: Curve = field(compare=False, repr=False)
    label: Curve = field(compare=False, repr=False)
    t_min: float = field(compare=False)
    t_max: float = field(compare=False)
    size: int | None = field(default=None, compare=False)

    def drift(self, t: ArrayLike) -> Any:
        """Return f(t) = alpha'(t) / alpha(t), the linear drift; -inf where alpha is 0."""
        with np.errstate(divide="ignore"):
            return self.d_alpha(t) / self.alpha(t)


def checked(process: Any) -> Process:
    """Return a process; TypeError where it is none, as betas alone are."""
    if not isinstance(process, Process):
        raise TypeError(
            f"process is {type(process).__name__}, expected a Process, such as "
            "pydiffcore.process.discrete(betas) or process.vp()"
        )
    return process


def as_float64(values: ArrayLike) -> FloatArray:
    return np.asarray(values, dtype=np.float64)


def identity(values: ArrayLike) -> Any:
    return as_float64(values)[()]


def ones(values: ArrayLike) -> Any:
    return np.ones_like(as_float64(values))[()]


def zeros(values: ArrayLike) -> Any:
    return np.zeros_like(as_float64(values))[()]


def positive(name: str, value: float) -> float:
    if not (isinstance(value, int | float | np.number) and math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a positive finite number, got {value!r}")
    return float(value)
