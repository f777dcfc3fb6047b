# SPDX-License-Identifier: Apache-2.0
"""Check, measure, print, write: everything on one GPU, in under eight minutes.

    python -m benchmarks.gpu [--json FILE] [--quick] [--device cpu --tiny]

Exits with 1 where a check does not hold or a part failed; times decide nothing.  A part that fails
is named, and the others run; the JSON file is written anew after every part.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import bits, count, end_to_end, policies, rows, table
from benchmarks.gpu.contenders import CAPTURED, said
from benchmarks.gpu.device import facts
from benchmarks.gpu.scale import FULL, QUICK, TINY, Deadline, Scale

FORMAT = "pydiffcore gpu 1"


class Report:
    """Figures so far, on the screen and in a file."""

    def __init__(self, path: str | None, device: torch.device, about: dict[str, Any]) -> None:
        self.device = device
        self.path = None if path is None else Path(path)
        self.content: dict[str, Any] = {"format": FORMAT, **about, "errors": {}}

    def say(self, *lines: str) -> None:
        print(*lines, sep="\n", flush=True)

    def add(self, part: str, figures: Any) -> None:
        self.content[part] = figures
        if self.path is not None:
            self.path.write_text(
                json.dumps(self.content, indent=1, ensure_ascii=False) + "\n", "utf-8"
            )

    @property
    def timed(self) -> list[dict[str, Any]]:
        """Every network that was timed, and those where that failed."""
        return [*self.content.get("policies", []), *self.content.get("end_to_end", [])]

    @property
    def holds(self) -> bool:
        """Whether every check held and no part failed."""
        checked = [*self.content.get("bits", []), self.content.get("count", {})]
        compared = [one for each in self.timed for one in each.get("contenders", [])]
        return (
            not self.content["errors"]
            and not any("error" in each for each in self.timed)
            and all(each.get("holds") is not False for each in checked)
            and all(one["agrees"] is not False for one in compared)
            and (self.device.type != "cuda" or all(map(captured, self.timed)))
        )


def captured(each: dict[str, Any]) -> bool:
    """Whether our loop was captured where it was to be: no quiet fall back to a slower one."""
    kinds = [one["kind"] for one in each.get("contenders", []) if one["name"] == CAPTURED]
    return "skipped" in each or kinds == ["graph"]


def main() -> None:
    args = arguments()
    scale = TINY if args.tiny else QUICK if args.quick else FULL
    device = chosen(args.device)
    if device.type != "cuda" and not args.tiny:
        sys.exit(f"the sizes are a GPU's: on {args.device} the script runs with --tiny")
    deadline = Deadline(scale.minutes)
    about = {"scale": scale.name, "facts": facts(device)}
    report = Report(args.json, device, about)
    report.say(table.heading(about["facts"], scale.name), "")
    parts: dict[str, Callable[[], None]] = {
        "bits": lambda: run_bits(report, scale, device),
        "count": lambda: run_count(report, scale, device),
        "rows": lambda: run_rows(report, scale, device, deadline),
        "policies": lambda: run_one_by_one(
            report, "policies", policies.measure(scale, device, deadline), table.policy
        ),
        "end_to_end": lambda: run_one_by_one(
            report, "end_to_end", end_to_end.measure(scale, device, deadline), table.end_to_end
        ),
    }
    with compiled_anew():
        for part, run in parts.items():
            try:
                run()
            except Exception as error:  # a part that fails must not cost the others
                report.content["errors"][part] = said(error)
                report.say(f"{part} FAILED: {said(error)}")
    report.add("seconds", deadline.spent)
    report.say("", *table.summary(report.timed))
    report.say(
        "", f"{deadline.spent:.0f} s; {'all checks hold' if report.holds else 'NOT all is well'}"
    )
    sys.exit(0 if report.holds else 1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write every figure")
    parser.add_argument("--quick", action="store_true", help="fewer sizes, in under five minutes")
    parser.add_argument("--device", default="cuda", help="default cuda")
    parser.add_argument("--tiny", action="store_true", help="tests the script, on a CPU too")
    return parser.parse_args()


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


def run_bits(report: Report, scale: Scale, device: torch.device) -> None:
    found = list(bits.check(scale, device))
    report.add("bits", found)
    report.say(*map(table.bits, found))


def run_count(report: Report, scale: Scale, device: torch.device) -> None:
    found = count.count(scale, device)
    report.add("count", found)
    report.say(table.counted(found), "")


def run_rows(report: Report, scale: Scale, device: torch.device, deadline: Deadline) -> None:
    found: list[dict[str, Any]] = []
    for each in rows.measure(scale, device, deadline):
        found.append(each)
        report.add("rows", found)
    report.say(*table.rows(found))


def run_one_by_one(
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


if __name__ == "__main__":
    main()
