# SPDX-License-Identifier: Apache-2.0
"""One run of the benchmark: its parts in their order, each figure said as soon as it is there."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from benchmarks.gpu import bits, count, end_to_end, policies, rows, table
from benchmarks.gpu.contenders import said
from benchmarks.gpu.device import facts
from benchmarks.gpu.report import Report
from benchmarks.gpu.scale import FULL, PARTS, QUICK, TINY, Deadline, Scale

__all__ = ["measure", "run"]


def run(args: argparse.Namespace) -> int:
    """Run what the command line asks for, and return the status with which to exit."""
    scale = TINY if args.tiny else QUICK if args.quick else FULL
    parts = named(args.parts)
    device = chosen(args.device)
    if device.type != "cuda" and not args.tiny:
        sys.exit(f"the sizes are a GPU's: on {args.device} the script runs with --tiny")
    deadline = Deadline(scale.minutes, parts)
    report = Report(args.json, device, {"scale": scale.name, "facts": facts(device)})
    report.say(table.heading(report.content["facts"], scale.name), "")
    with compiled_anew():
        measure(report, parts, scale, device, deadline)
    report.say("", *table.summary(report.timed))
    verdict = "all checks hold" if report.holds else "NOT all is well"
    report.say("", f"{deadline.spent:.0f} s; {verdict}")
    return 0 if report.holds else 1


def named(words: str | None) -> list[str]:
    """Return the parts that are asked for, in their order."""
    asked = list(PARTS) if words is None else words.split(",")
    unknown = set(asked) - set(PARTS)
    if unknown:
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return [part for part in PARTS if part in asked]


def chosen(name: str) -> torch.device:
    """Return the device with its number, or say why it is not there."""
    device = torch.device(name)
    if device.type != "cuda":
        return device
    from pydiffcore.ops import native

    if not torch.cuda.is_available():
        sys.exit("this torch sees no CUDA device; --device cpu --tiny tests the script")
    if native.unsupported("cuda"):
        sys.exit(f"pydiffcore's kernels cannot run here: {native.unsupported('cuda')}")
    device = torch.device("cuda", device.index or 0)
    torch.cuda.set_device(device)
    return device


@contextmanager
def compiled_anew() -> Iterator[None]:
    """Keep compiled code in a new folder, so that compile times are those of a first time."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        before = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["TORCHINDUCTOR_CACHE_DIR"]
            else:
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = before


def measure(
    report: Report, parts: Iterable[str], scale: Scale, device: torch.device, deadline: Deadline
) -> None:
    """Fill the report; a part that fails does not cost the others."""
    at = (scale, device, deadline)
    made: dict[str, Callable[[], None]] = {
        "bits": lambda: add(report, "bits", bits.check(scale, device), lambda x: [table.bits(x)]),
        "count": lambda: counted(report, count.count(scale, device)),
        "rows": lambda: all_rows(report, rows.measure(*at)),
        "policies": lambda: add(report, "policies", policies.measure(*at), table.policy),
        "end_to_end": lambda: add(report, "end_to_end", end_to_end.measure(*at), table.end_to_end),
    }
    for part in parts:
        try:
            made[part]()
        except Exception as error:  # whatever a part meets
            report.content["errors"][part] = said(error)
            report.say(f"{part} FAILED: {said(error)}")
        report.add("seconds", deadline.spent)


def counted(report: Report, found: dict[str, Any]) -> None:
    report.add("count", found)
    report.say(table.counted(found), "")


def all_rows(report: Report, measured: Iterable[dict[str, Any]]) -> None:
    """Write each figure, and say all in one table, however far they came."""
    found: list[dict[str, Any]] = []
    try:
        for each in measured:
            found.append(each)
            report.add("rows", found)
    finally:
        report.say(*table.rows(found))


def add(
    report: Report,
    part: str,
    measured: Iterable[dict[str, Any]],
    lines: Callable[[dict[str, Any]], Iterable[str]],
) -> None:
    """Write and say each figure as soon as it is there."""
    found: list[dict[str, Any]] = []
    for each in measured:
        found.append(each)
        report.add(part, found)
        report.say(*lines(each))
