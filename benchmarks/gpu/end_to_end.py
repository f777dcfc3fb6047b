# SPDX-License-Identifier: Apache-2.0
"""Whole sampling runs: noise to sample, every contender in turn, wins and losses alike."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.gpu import networks
from benchmarks.gpu.clock import Clock, Taken, interleaved, quartiles, ratios
from benchmarks.gpu.contenders import (
    OURS,
    TIME_IS_UP,
    TOLERANCE,
    Bench,
    Contender,
    build,
    said,
)
from benchmarks.gpu.scale import Deadline, Scale
from benchmarks.gpu.task import Case, Task, cases, task

__all__ = ["described", "measure", "verdict"]

ROOM, PER_SAMPLE = 20.0, 0.1  # seconds that must be left for a batch


def measure(scale: Scale, device: torch.device, deadline: Deadline) -> Iterator[dict[str, Any]]:
    """Yield the figures of each network and batch."""
    made: dict[str, nn.Module] = {}
    for case, batch in ordered(scale):
        at = {"network": case.name, "sampler": case.method, "batch": batch}
        if not deadline.allows(ROOM + PER_SAMPLE * batch):
            yield {**at, "skipped": TIME_IS_UP}
            continue
        try:
            yield one(case, batch, made, scale, device, deadline)
        except Exception as error:  # out of memory, for instance: the others go on
            yield {**at, "error": said(error)}
        if device.type == "cuda":
            torch.cuda.empty_cache()


def ordered(scale: Scale) -> list[tuple[Case, int]]:
    """Return every case and batch: first those with all contenders, then small batches."""
    both = [
        (case, batch) for batch in scale.batches for case in cases(scale) if batch in case.steps
    ]
    return sorted(both, key=lambda each: each[1] not in each[0].compiled)


def one(
    case: Case,
    batch: int,
    made: dict[str, nn.Module],
    scale: Scale,
    device: torch.device,
    deadline: Deadline,
) -> dict[str, Any]:
    """Return the figures of a network at a batch; graphs and buffers end with this function."""
    if case.name not in made:
        made[case.name] = networks.ready(case.make, device, torch.bfloat16)
    given = task(case, made[case.name], batch, device, scale)
    bench = build(given, deadline, compiled=batch in case.compiled)
    size = networks.parameters(made[case.name])
    return {**described(given, bench), "parameters": size, **timed(given, bench)}


@torch.no_grad()
def timed(given: Task, bench: Bench) -> dict[str, Any]:
    """Time the contenders; a run begins with its noise."""
    scale, by_name = given.scale, {each.name: each for each in bench.contenders}
    if not by_name:
        raise RuntimeError(f"nothing to time: {bench.skipped}")
    work = {name: partial(each.run, None, given.condition) for name, each in by_name.items()}
    clock = Clock(given.device)
    taken = interleaved(work, clock, rounds=scale.rounds, seconds=scale.seconds)
    found = [{**outline(each), **figures(each.name, taken)} for each in bench.contenders]
    return {"contenders": found, "verdict": verdict(found, "wall_seconds")}


def described(given: Task, bench: Bench) -> dict[str, Any]:
    """Return what was run."""
    return {
        "network": given.case,
        "sampler": given.method,
        "shape": list(given.shape),
        "batch": given.batch,
        "steps": given.steps,
        "calls": given.plan.nfe,
        "io": str(given.io).removeprefix("torch."),
        "state": "float32",
        "stochastic": given.plan.is_stochastic,
        "tolerance": TOLERANCE,
        "compile_seconds": bench.compile_seconds,
        "skipped_contenders": bench.skipped,
    }


def outline(each: Contender) -> dict[str, Any]:
    """Return what is known of a contender before it is timed."""
    return {
        "name": each.name,
        "build_seconds": each.build_seconds,
        "difference": each.difference,
        "agrees": each.agrees,
        **each.about,
    }


def figures(name: str, taken: dict[str, list[Taken]]) -> dict[str, Any]:
    """Return medians and quartiles, and the ratio to each of ours, round by round."""
    return {
        "device_seconds": quartiles(each.device for each in taken[name]),
        "wall_seconds": quartiles(each.wall for each in taken[name]),
        "repeats": len(taken[name]),
        "over": {ours: ratios(taken[name], taken[ours]) for ours in OURS if ours in taken},
    }


def verdict(found: list[dict[str, Any]], key: str) -> dict[str, Any] | None:
    """Compare the fastest of ours with the fastest of the others, by medians."""

    def fastest(ours: bool) -> dict[str, Any] | None:
        group = [each for each in found if (each["name"] in OURS) == ours]
        return min(group, key=lambda each: each[key]["median"], default=None)

    mine, other = fastest(True), fastest(False)
    if mine is None or other is None:
        return None
    ratio = other[key]["median"] / mine[key]["median"]
    outcome = "win" if ratio > 1.02 else "loss" if ratio < 0.98 else "even"
    return {"ours": mine["name"], "other": other["name"], "ratio": ratio, "outcome": outcome}
