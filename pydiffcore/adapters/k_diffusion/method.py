# SPDX-License-Identifier: Apache-2.0
"""Methods: k-diffusion's samplers in terms of ours, and the calls of each of their steps."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from pydiffcore import samplers
from pydiffcore.levels import Levels, explicit
from pydiffcore.plan import Plan, trace
from pydiffcore.prediction import Prediction
from pydiffcore.process import Process

__all__ = ["Method", "dpm_2_ancestral", "dpmpp_2s_ancestral", "euler_ancestral", "plan_of"]


@dataclass(frozen=True)
class Method:
    """A sampler with its options, hashable.

    Attributes:
        sampler: a function (x, denoise, levels, noise, **options) as in pydiffcore.samplers.
        calls: network calls of a step that does not go to 0: 1 or 2; 0 for dpm_fast's; None to
            count those of each step.
        options: pairs (name, value).

    """

    sampler: Callable[..., Any]
    calls: int | None = 1
    options: tuple[tuple[str, Any], ...] = ()


def to_end(sigma: float, sigma_next: float, eta: float) -> bool:
    """Whether all of a step's noise is drawn afresh: eta·sqrt(σ² − σ'²) ≥ σ > σ' > 0."""
    gap = (sigma - sigma_next) * (sigma + sigma_next)
    return sigma_next > 0 and gap > 0 and eta * math.sqrt(gap) >= sigma


def capped(sampler: Callable[..., Any]) -> Callable[..., Any]:
    """Return an ancestral one-step method whose σ_up is min(σ', eta·σ'·sqrt(σ² − σ'²)/σ).

    At σ_up = σ' the step is D + s_noise·σ'·z.
    """

    def method(
        x: Any, denoise: Any, levels: Levels, noise: Any, *, eta: float, s_noise: float
    ) -> Any:
        for sigma, sigma_next in levels.steps():
            if to_end(sigma, sigma_next, eta):
                D = denoise(x, sigma)
                x = D + s_noise * sigma_next * noise(sigma, sigma_next) if s_noise else D
            else:
                step = explicit([sigma, sigma_next], levels.process)
                x = sampler(x, denoise, step, noise, eta=eta, s_noise=s_noise)
        return x

    method.__name__ = sampler.__name__.lstrip("_")
    return method


def _euler_ancestral(
    x: Any, denoise: Any, levels: Levels, noise: Any, *, eta: float, s_noise: float
) -> Any:
    return samplers.ancestral(x, denoise, levels, lambda *at: s_noise * noise(*at), eta=eta)


euler_ancestral = capped(_euler_ancestral)
dpm_2_ancestral = capped(samplers.dpm_2_ancestral)
dpmpp_2s_ancestral = capped(samplers.dpmpp_2s_ancestral)


def first_stream(sigma: float) -> int:
    """Return where the streams of a run from this level begin, in [0, 2^31).

    A run that goes on from another's last level, with the same seeds, thus draws other noise.
    """
    return zlib.crc32(struct.pack("<d", sigma)) >> 1


@lru_cache(maxsize=256)
def plan_of(
    method: Method,
    sigmas: tuple[float, ...],
    prediction: Prediction,
    scaling: Process | None = None,
) -> tuple[Plan, tuple[int, ...]]:
    """Return the plan, and the call with which each step begins.

    Args:
        method, sigmas, prediction: what is run.
        scaling: the process that the levels belong to and in whose scaling the state is, if any.

    Raises:
        ValueError: levels that the sampler cannot visit, or options that it refuses.

    """
    rising = any(b > a for a, b in pairwise(sigmas))
    try:
        levels = explicit(sigmas, scaling, rising=rising)
        first, options = first_stream(sigmas[0]), dict(method.options)
        plan = trace(
            method.sampler, levels, prediction, scaling=scaling, first_stream=first, **options
        )
    except ValueError as error:
        if "eta" in str(error) or not str(error).startswith(("sigma must", "explicit")):
            raise
        raise ValueError(f"sigmas: {error}") from None
    if method.calls is None:
        return plan, _starts(method, levels)
    counts = _calls(method, sigmas)
    if sum(counts) != plan.nfe:
        raise AssertionError(f"{plan.sampler} makes {plan.nfe} calls, counted {sum(counts)}")
    return plan, tuple(sum(counts[:i]) for i in range(len(counts)))


class _Watched(Levels):
    """Levels that tell when a sampler takes the next step."""

    def watch(self, taken: Callable[[], None]) -> None:
        object.__setattr__(self, "taken", taken)

    def steps(self, upwards: bool = False) -> Iterator[tuple[float, float]]:
        for step in super().steps(upwards):
            getattr(self, "taken")()  # noqa: B009
            yield step


def _starts(method: Method, levels: Levels) -> tuple[int, ...]:
    """Return the call with which each step begins, counted in a run on a single 0."""
    calls, starts = [], []

    def denoise(x: Any, sigma: float) -> Any:
        calls.append(sigma)
        return x

    watched = _Watched(levels.sigma, levels.process, levels.name, levels.rising)
    watched.watch(lambda: starts.append(len(calls)))
    x = np.zeros(1)
    method.sampler(x, denoise, watched, lambda *_: x, **dict(method.options))
    return tuple(starts)


def _calls(method: Method, sigmas: tuple[float, ...]) -> list[int]:
    """Return the number of network calls of each step."""
    options = dict(method.options)
    each = method.calls or 0
    if each == 0:
        whole, rest = divmod(options["nfe"], 3)
        return [3] * whole + [rest] if rest else [3] * (whole - 1) + [2, 1]
    once = method.sampler in (dpm_2_ancestral, dpmpp_2s_ancestral)
    return [
        1 if b == 0 or (once and to_end(a, b, options["eta"])) else each
        for a, b in pairwise(sigmas)
    ]
