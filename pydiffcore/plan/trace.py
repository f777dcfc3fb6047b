# SPDX-License-Identifier: Apache-2.0
"""Tracing: run a sampler once on symbols and compile what it did into a :class:`Plan`."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from pydiffcore.levels import Levels
from pydiffcore.levels.core import UNBOUNDED
from pydiffcore.plan.compile import compile_tape
from pydiffcore.plan.plan import Plan
from pydiffcore.plan.symbols import Symbol, Tape, TraceError
from pydiffcore.prediction import Prediction, denoised
from pydiffcore.process import Process

__all__ = ["draws_before", "prepared", "trace"]

FAR = 300.0  # a weight of D, or noise over its level, from which a plan's limit is looked at


class TracedDenoiser:
    """The denoiser that a traced sampler calls: every call ends one row of the plan."""

    def __init__(self, tape: Tape, clipped: bool) -> None:
        self.tape, self.clipped = tape, clipped

    def with_raw(self, x: Symbol, sigma: float) -> tuple[Symbol, Symbol]:
        """Return D after clipping and D before it (the same symbol where nothing is clipped)."""
        self.tape.call(x, sigma)
        call = len(self.tape.queries) - 1
        D = self.tape.push("D", call)
        return D, self.tape.push("raw", call) if self.clipped else D

    def __call__(self, x: Symbol, sigma: float) -> Symbol:
        return self.with_raw(x, sigma)[0]

    def spread(self, z: Symbol, low: float, high: float) -> Symbol:
        """Return z times a deviation between two bounds that the network's output decides."""
        return self.tape.spread(z, low, high)


def trace(
    sampler: Callable[..., Any],
    levels: Levels,
    prediction: Prediction | None = None,
    *,
    clip: tuple[float, float] | None = None,
    scaling: Process | None = None,
    first_stream: int | None = None,
    **options: Any,
) -> Plan:
    """Run ``sampler`` once on symbols and return its table of coefficients.

    Row ``i`` of the table is everything between two network calls,
    ``reg' = A_i·reg + B_i·D_i + S_i·z`` and ``input' = c_in·reg'_0``.

    Args:
        sampler: a function ``(x, denoise, levels, noise, **options)``, such as
            :func:`pydiffcore.samplers.heun`.
        levels: the noise levels that it visits, EDM σ.
        prediction: what the network's output means; the default is a model ``D(x, sigma)``.
        clip: bounds ``(low, high)`` for the denoised prediction, or None.
        scaling: a process whose ``alpha`` scales register 0, so that the state between two
            rows is ``x_t = alpha·x``; None keeps the EDM frame ``x = x0 + sigma·z``.
        first_stream: number of its first noise stream, such as the ``draws`` of a plan that
            another sampler ran before it with the same seeds; None counts what this sampler would
            have drawn on the levels that :func:`levels.split` cut off, if any.
        **options: the sampler's own options.

    Raises:
        TypeError: an argument has a wrong type.
        TraceError: the sampler did something to its state that is not linear in it.
        ValueError: ``clip`` is not an ascending pair of finite numbers, the sampler never
            called the denoiser, or its formula has no limit on levels that start at pure noise.

    """
    if not callable(sampler):
        raise TypeError(
            f"sampler is {sampler!r}, expected a function such as pydiffcore.samplers.euler"
        )
    if not isinstance(levels, Levels):
        raise TypeError(
            f"levels is {type(levels).__name__}, expected Levels: "
            "pydiffcore.levels.explicit([...]) makes one from a list of sigmas"
        )
    prediction = denoised() if prediction is None else prediction
    if not isinstance(prediction, Prediction):
        raise TypeError(f"prediction is {prediction!r}, expected a pydiffcore.prediction")
    bounds, (sampler, options) = _checked_clip(clip), prepared(sampler, options)
    tape, result = _run(sampler, levels, bounds is not None, options)
    if first_stream is None:
        first_stream = draws_before(sampler, levels, options) if tape.intervals else 0
    sigma = np.array(tape.sigmas)
    c_skip, c_out, c_in, c_noise = prediction.coefficients(sigma)
    plan = Plan(
        sampler=_call_text(sampler, options),
        levels=levels.name,
        prediction=prediction.name,
        sigma=sigma,
        sigma_init=float(levels.sigma[0]),
        sigma_final=float(levels.sigma[-1]),
        scale=np.ones(len(sigma) + 1),
        scale_init=1.0,
        c_skip=c_skip,
        c_out=c_out,
        c_in=c_in,
        c_noise=c_noise,
        clip=bounds,
        first_stream=operator.index(first_stream),
        **compile_tape(tape, result, float(levels.sigma[0])),
    )
    if levels.sigma[0] >= UNBOUNDED and carried(plan) > FAR:
        lower = replace(levels, sigma=np.append(UNBOUNDED / 100, levels.sigma[1:]))
        _check_limit(plan, trace(sampler, lower, prediction, first_stream=0, **options))
    return plan if scaling is None else plan.scaled(scaling)


def prepared(
    sampler: Callable[..., Any], options: dict[str, Any]
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return a sampler and its options with every scalar of NumPy or torch as Python's own.

    A float32 scalar would make the coefficients that are computed with it float32.

    Raises:
        TypeError: the sampler has no option of a name.
    """
    _check_names(sampler, options)
    if isinstance(sampler, functools.partial):
        sampler = functools.partial(sampler.func, *sampler.args, **_plain(sampler.keywords))
    return sampler, _plain(options)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    scalar = getattr(value, "shape", None) == () and not getattr(value, "requires_grad", False)
    return value.item() if scalar else value


def _check_names(sampler: Callable[..., Any], options: dict[str, Any]) -> None:
    """Name an option that a sampler lacks, where its signature says what it takes."""
    try:
        signature = inspect.signature(sampler, follow_wrapped=False)
    except (TypeError, ValueError):
        return
    taken = signature.parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in taken):
        return
    named = [each.name for each in taken if each.kind is each.POSITIONAL_OR_KEYWORD][4:]
    known = named + [each.name for each in taken if each.kind is each.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            expected = f"expected one of {', '.join(sorted(known))}" if known else "it has none"
            raise TypeError(f"{_call_text(sampler, {})} has no option {name!r}: {expected}")


def draws_before(sampler: Callable[..., Any], levels: Levels, options: dict[str, Any]) -> int:
    """Return how many draws a sampler makes on the levels that lie before these, of one list."""
    if levels.before is None:
        return 0
    try:
        return len(_run(sampler, levels.before, False, options)[0].intervals)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"first_stream is not given, and what the sampler drew on {levels.before.name} cannot "
            f"be counted: {error}"
        ) from error


def carried(plan: Plan) -> float:
    """Return the largest weight of D in a state, or of noise over its level."""
    return float(max(plan.denoiser_weight.max(), plan.noise_ratio.max()))


def _check_limit(plan: Plan, lower: Plan) -> None:
    """Refuse a plan in which weights go on to grow with the level that stands for infinity."""
    if carried(plan) > 3 * carried(lower):
        raise ValueError(
            f"{plan.sampler} on {plan.levels}: the first level, {plan.sigma_init:.0e}, stands for "
            f"pure noise, and this sampler's formula has no limit there: weights grow with it, to "
            f"{carried(plan):.1e}. Start below it, as with levels.set_first(levels, 1e3), or take "
            "one that has: flow_heun, euler, dpmpp_2m, …"
        )


def _run(
    sampler: Callable[..., Any], levels: Levels, clipped: bool, options: dict[str, Any]
) -> tuple[Tape, int]:
    """Run a sampler on symbols; return its tape and the index of its result."""
    tape = Tape()
    x = tape.push("x", 0)
    result = sampler(x, TracedDenoiser(tape, clipped), levels, tape.draw, **options)
    if not isinstance(result, Symbol):
        raise TraceError(f"the sampler returned {type(result).__name__}, expected its state")
    if not tape.queries:
        raise ValueError(f"the sampler never called the denoiser on {levels.name}")
    tape.check_scaled()
    return tape, result.index


def _call_text(sampler: Callable[..., Any], options: dict[str, Any]) -> str:
    """Name a sampler with its options, as in ``heun(churn=20.0)``."""
    if isinstance(sampler, functools.partial):
        return _call_text(sampler.func, {**sampler.keywords, **options})
    given = ", ".join(
        f"{name}={value.name if isinstance(value, Process) else repr(value)}"
        for name, value in options.items()
    )
    name = getattr(sampler, "__name__", type(sampler).__name__)
    return f"{name}({given})" if given else name


def _checked_clip(clip: tuple[float, float] | None) -> tuple[float, float] | None:
    if clip is None:
        return None
    try:
        low, high = (float(bound) for bound in clip)
    except (TypeError, ValueError):
        low, high = np.nan, np.nan
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"clip is {clip!r}, expected a pair (low, high) of finite numbers")
    return low, high
