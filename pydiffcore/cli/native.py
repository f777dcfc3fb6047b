# SPDX-License-Identifier: Apache-2.0
"""The plan of a checkpoint: its training's own, as far as no argument says otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pydiffcore.cli.names import SAMPLERS, assignments, bound
from pydiffcore.cli.plan import check_prediction, chosen_levels, chosen_process, pair, traced

if TYPE_CHECKING:
    import argparse

    from pydiffcore.plan import Plan
    from pydiffcore.train.presets import Cell

__all__ = ["NATIVE", "planned"]

NATIVE = "native"
RULES = ("levels", "sigmas", "sigma_min", "sigma_max", "rho")


def planned(args: argparse.Namespace, cell: Cell) -> Plan:
    """Return the plan of the arguments for a network that was trained so.

    Args:
        args: what ``add_choices`` added; the sampler may be native, as it is where none is given.
        cell: the training's.
    """
    process = chosen_process(args, cell.process)
    check_prediction(args, cell.prediction, process)
    name, _, rest = (args.sampler or NATIVE).partition(":")
    if name.strip().lower().replace("-", "_") not in (NATIVE, cell.sampler):
        return traced(args, cell.prediction, process, _trained(cell))
    given = assignments("--sampler", rest.split(",") if rest else [])
    given |= assignments("--option", args.option or [])
    return _native(args, replace(cell, process=process), given)


def _native(args: argparse.Namespace, cell: Cell, given: dict[str, str]) -> Plan:
    """Return the plan of the training's own sampler, on its own levels unless others are given."""
    from pydiffcore import samplers
    from pydiffcore.plan import trace
    from pydiffcore.train.native import native_choice

    visited = None
    _check_bounds(args, cell)
    if any(getattr(args, rule) is not None for rule in RULES):
        visited = chosen_levels(args, cell.process, _trained(cell))
    levels, options = native_choice(cell, None if visited else args.steps, visited)
    texts = bound("sampler", SAMPLERS[cell.sampler.replace("_", "-")], given).keywords
    clip: Any = pair("--clip", args.clip) if args.clip else None
    if cell.sampler == "ddpm" and clip is None:
        clip = (-1.0, 1.0)  # what all data is scaled to
    sampler = getattr(samplers, cell.sampler)
    return trace(
        sampler, levels, cell.prediction, clip=clip,
        scaling=cell.process if args.scaling else None, **{**options, **texts},
    )  # fmt: skip


def _check_bounds(args: argparse.Namespace, cell: Cell) -> None:
    """Refuse bounds of karras levels for a sampler whose own levels are others."""
    given = [name for name in RULES[2:] if getattr(args, name) is not None]
    if not given or args.levels is not None or args.sigmas is not None:
        return
    from pydiffcore.train.native import native_choice

    own = native_choice(cell, None, None)[0].name
    if not own.startswith("karras"):
        flag = f"--{given[0].replace('_', '-')}"
        raise ValueError(
            f"{flag} is given, but the training's own sampler {cell.sampler} visits {own}: "
            "expected --levels with it, such as --levels karras, and --steps"
        )


def _trained(cell: Cell) -> tuple[float, float]:
    """Return the lowest and the highest level of the training."""
    low, high = cell.law.quantile(np.array([0.0, 1.0]))
    return float(low), float(high)
