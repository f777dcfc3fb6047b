# SPDX-License-Identifier: Apache-2.0
"""``pydiffcore plan``: print, plot, save and load any process × levels × sampler."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydiffcore.cli.names import (
    LEVELS,
    PREDICTIONS,
    PROCESSES,
    SAMPLERS,
    assignments,
    bound,
    called,
    chosen,
)

if TYPE_CHECKING:
    from pydiffcore.levels import Levels
    from pydiffcore.plan import Plan
    from pydiffcore.prediction import Prediction
    from pydiffcore.process import Process

__all__ = ["add_choices", "add_parser", "chosen_levels", "numbers", "pair", "traced"]

Range = tuple[float, float]
SAMPLER, LEVEL_RULE, STEPS, PROCESS, PREDICTION = "heun", "karras", 18, "edm", "denoised"


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "plan",
        help="print and plot any process × levels × sampler",
        description="Trace a sampler into its table of coefficients: one row per network call.",
    )
    add_choices(parser)
    parser.add_argument("--load", metavar="FILE", help="show a saved plan instead of tracing one")
    parser.add_argument("--save", metavar="FILE", help="write the plan as JSON with its hash")
    parser.add_argument("--plot", metavar="FILE", help="draw levels, coefficients and noise")
    parser.add_argument("--all", action="store_true", help="print every row, not only the ends")
    parser.set_defaults(run=run)


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what plan is meant; shared by plan, sample and bench."""
    group = parser.add_argument_group(
        "the plan", "a choice is written NAME or NAME:key=value,key=value"
    )
    add = group.add_argument
    add("--sampler", metavar="NAME", help=f"default: a training's own, native, else {SAMPLER}; "
        f"{', '.join(SAMPLERS)}")  # fmt: skip
    add(
        "--option", action="append", metavar="KEY=VALUE",
        help="an option of the sampler, such as churn=20; may be repeated",
    )  # fmt: skip
    add("--levels", metavar="NAME", help=f"default: the native sampler's own, else {LEVEL_RULE}; "
        f"{', '.join(LEVELS)}")  # fmt: skip
    add("--steps", type=int, metavar="N", help=f"number of steps, default: the native "
        f"sampler's own, else {STEPS}")  # fmt: skip
    add(
        "--sigma-min",
        type=float,
        metavar="S",
        help="lowest level above 0, EDM frame; a table's own or above",
    )
    add(
        "--sigma-max",
        type=float,
        metavar="S",
        help="highest level, EDM frame; a table's own or below",
    )
    add("--rho", type=float, metavar="R", help="exponent of the karras levels, default 7")
    add("--sigmas", metavar="S,S,…", help="the levels themselves, descending, instead of a rule")
    add("--process", metavar="NAME", help=f"default: a checkpoint's own, else {PROCESS}; "
        f"{', '.join(PROCESSES)}")  # fmt: skip
    add("--prediction", metavar="NAME", help=f"default {PREDICTION}; {', '.join(PREDICTIONS)}")
    add("--clip", metavar="LOW,HIGH", help="bounds of the denoised prediction")
    add(
        "--scaling", action="store_true", default=None,
        help="the state is alpha·x of the process, not x",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Show the plan."""
    plan = loaded(args, args.load) if args.load else traced(args)
    print(plan.format(limit=None if args.all else 24))
    if args.save:
        plan.save(args.save)
        print(f"saved {args.save}")
    if args.plot:
        plan.plot(args.plot)
        print(f"drawn {args.plot}")
    return 0


def loaded(args: argparse.Namespace, path: str) -> Plan:
    """Read a saved plan, which leaves nothing to choose."""
    from pydiffcore.plan import Plan

    choices = (
        "sampler", "option", "levels", "steps", "sigma_min", "sigma_max", "rho", "sigmas",
        "process", "prediction", "clip", "scaling",
    )  # fmt: skip
    for name in choices:
        if getattr(args, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} cannot change the saved plan {path}")
    return Plan.load(path)


def traced(
    args: argparse.Namespace,
    prediction: Prediction | None = None,
    process: Process | None = None,
    trained: Range = (0.0, float("inf")),
) -> Plan:
    """Trace the plan that the arguments describe.

    Args:
        args: what :func:`add_choices` added.
        prediction: the network's own; what ``--prediction`` names where it is None.
        process: what ``--process`` is where it is not given.
        trained: lowest and highest level that the network has seen.

    """
    from pydiffcore.plan import trace

    process = chosen_process(args, process)
    if prediction is None:
        prediction = chosen_prediction(args, process)
    check_prediction(args, prediction, process)
    sampler, given = chosen("sampler", SAMPLERS, args.sampler or SAMPLER)
    given = {**given, **assignments("--option", args.option or [])}
    options = bound("sampler", sampler, given, process=process).keywords
    return trace(
        sampler,
        chosen_levels(args, process, trained),
        prediction,
        clip=pair("--clip", args.clip) if args.clip else None,
        scaling=process if args.scaling else None,
        **options,
    )


def check_prediction(args: argparse.Namespace, own: Prediction, process: Process) -> None:
    """Refuse a ``--prediction`` that is not the network's own."""
    if args.prediction and chosen_prediction(args, process) != own:
        raise ValueError(
            f"--prediction is {args.prediction!r}, but the network's own is {own.name}"
        )


def chosen_process(args: argparse.Namespace, own: Process | None = None) -> Process:
    """Return the process of ``--process``; where it is not given the network's own, if known."""
    if own is not None and not args.process:
        return own
    return called("process", *chosen("process", PROCESSES, args.process or PROCESS))


def chosen_prediction(args: argparse.Namespace, process: Process) -> Prediction:
    """Return the prediction of ``--prediction``."""
    function, given = chosen("prediction", PREDICTIONS, args.prediction or PREDICTION)
    return called("prediction", function, given, process=process)


def chosen_levels(
    args: argparse.Namespace, process: Process, trained: Range = (0.0, float("inf"))
) -> Levels:
    """Return the levels of ``--levels`` and its shortcuts, or those of ``--sigmas``."""
    from pydiffcore.levels import explicit

    shortcuts = ("sigma_min", "sigma_max", "rho")
    if args.sigmas is not None:
        for name in ("levels", "steps", *shortcuts):
            if getattr(args, name) is not None:
                raise ValueError(f"--{name.replace('_', '-')} has no meaning beside --sigmas")
        return explicit(numbers("--sigmas", args.sigmas), process)
    name = args.levels or LEVEL_RULE
    function, given = chosen("levels", LEVELS, name)
    for shortcut in shortcuts:
        value = getattr(args, shortcut)
        if value is None:
            continue
        if function is LEVELS["uniform-t"] and shortcut != "rho":
            given[shortcut.replace("sigma", "t")] = repr(float(process.time(value)))
        else:
            given[shortcut] = repr(value)
    for end, value in within(process, inspect.signature(function).parameters, trained).items():
        given.setdefault(end, repr(value))
    steps = STEPS if args.steps is None else args.steps
    return called("levels", function, given, n=steps, process=process)


def within(
    process: Process, parameters: Mapping[str, inspect.Parameter], trained: Range
) -> dict[str, float]:
    """Return the ends of a rule's own range that the network has not seen, and the last it has.

    They are those of its training, and of a process's table.
    """
    low, high = trained
    if process.size is not None:
        low = max(low, float(process.level(process.t_min)))
        high = min(high, float(process.level(process.t_max)))
    own = {name: p.default for name, p in parameters.items() if isinstance(p.default, float)}
    ends = {"sigma_min": low} if own.get("sigma_min", low) < low else {}
    return {**ends, "sigma_max": high} if own.get("sigma_max", high) > high else ends


def numbers(name: str, text: str) -> tuple[float, ...]:
    """Return the numbers of a text such as ``80,10,1,0``."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{name} is {text!r}, expected numbers with commas between them") from None


def pair(name: str, text: str) -> tuple[float, float]:
    """Return the two numbers of a text such as ``-1,1``."""
    values = numbers(name, text)
    if len(values) != 2:
        raise ValueError(f"{name} is {text!r}, expected two numbers with a comma between them")
    return values[0], values[1]
