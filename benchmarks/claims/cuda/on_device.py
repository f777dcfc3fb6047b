# SPDX-License-Identifier: Apache-2.0
"""What a CUDA device shows: bandwidth of rows, whole loops beside their baselines, equal bits.

    python -m benchmarks.claims.cuda.on_device [FILE]

Runs ``python -m benchmarks.gpu`` and reads what it wrote, or reads a file that it wrote before.
Every ratio is of wall times in one run: above 1 ours is faster. The published loop, one graph over
eager network and step, and one graph over both compiled are three of its baselines; it prints the
others, and compile times apart.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.claims.claim import Figure, main
from benchmarks.gpu.contenders import CAPTURED, CAPTURED_COMPILED, EAGER_GRAPH, GRAPH, PUBLISHED
from pydiffcore.ops import native

LARGE = 64 * 2**20  # bytes of state from which rows are bound by memory
COPY_SHARE = 0.9
LARGEST = "DiT-XL/2"
PUBLISHED_BAR = {"policy": ">= 3", "EDM U-Net": ">= 1.5"}


def measured() -> dict[str, Any]:
    """Return the benchmark's figures, from a file where one is named."""
    if len(sys.argv) > 1:
        return dict(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gpu.json"
        subprocess.run([sys.executable, "-m", "benchmarks.gpu", "--json", str(path)], check=False)
        return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def rows(found: dict[str, Any]) -> Iterator[Figure]:
    """Share of a copy's bandwidth of every type of row that is bound by memory."""
    for each in found.get("rows", []):
        if "share_of_copy" in each and 4 * each["elements"] >= LARGE:
            what = (
                f"{each['kind']}, {each['dtype']}, {each['elements']:.0e} elements: share of copy"
            )
            yield Figure(what, each["share_of_copy"]["median"], f">= {COPY_SHARE}")


def loops(each: dict[str, Any]) -> Iterator[Figure]:
    """Our captured loops beside the baselines of one network."""
    wall = {one["name"]: one["wall_seconds"]["median"] for one in each.get("contenders", [])}
    name, batch = each["network"], each["batch"]
    what = f"{name}, {each['sampler']}, batch {batch}"

    def ratio(other: str, ours: str, bar: str) -> Iterator[Figure]:
        if other in wall and ours in wall:
            yield Figure(f"{what}: {other} over {ours}", wall[other] / wall[ours], bar)

    yield from ratio(PUBLISHED, CAPTURED, PUBLISHED_BAR.get(name, "") if batch == 1 else "")
    yield from ratio(EAGER_GRAPH, CAPTURED, "" if name == LARGEST else ">= 1")
    policy = name == "policy" and each["stochastic"]
    yield from ratio(GRAPH, CAPTURED_COMPILED, ">= 1.05" if policy else ">= 0.98")
    if name == LARGEST and CAPTURED in wall and EAGER_GRAPH in wall:
        gain = abs(wall[EAGER_GRAPH] / wall[CAPTURED] - 1)
        yield Figure(f"{what}: difference from one graph", gain, "<= 0.01")
    for one in each.get("contenders", []):
        if name == "policy" and one["name"] in (CAPTURED, CAPTURED_COMPILED):
            yield from latency(what, one)


def latency(what: str, one: dict[str, Any]) -> Iterator[Figure]:
    """Percentiles of a policy's latency, a new observation each time."""
    for key in ("p50", "p99", "jitter"):
        yield Figure(f"{what}, {one['name']}: {key}", 1e3 * one[f"{key}_seconds"], unit="ms")
    bar = "< 2" if one["name"] == CAPTURED else ""
    yield Figure(f"{what}, {one['name']}: cold start", one["cold_start_seconds"], bar, "s")


def checks(found: dict[str, Any]) -> Iterator[Figure]:
    """Bits and launches."""
    differ = sum(len(each["differ"]) for each in found.get("bits", []))
    compared = sum(each["compared"] for each in found.get("bits", []))
    yield Figure("noise and states whose bits differ from the CPU's", differ, "<= 0",
                 note=f"{compared} compared")  # fmt: skip
    yield Figure("comparisons of bits", compared, ">= 1")
    holds = found.get("count", {}).get("holds") is True
    yield Figure("one launch per network call, by the profiler", float(holds), ">= 1")
    errors = found.get("errors", {})
    yield Figure("parts of the benchmark that failed", len(errors), "<= 0", note=str(errors or ""))


def measure() -> Iterator[Figure]:
    reason = (
        native.unsupported("cuda") or ""
        if torch.cuda.is_available()
        else "this torch sees no CUDA device"
    )
    if reason and len(sys.argv) == 1:
        yield Figure("CUDA devices: nothing is measured", 0, ">= 1", note=reason)
        return
    found = measured()
    facts = found.get("facts", {})
    about = f"{facts.get('device')}, driver {facts.get('driver')}, torch {facts.get('torch')}"
    yield Figure("seconds of the benchmark", found.get("seconds", 0), "< 480", "s", about)
    yield from checks(found)
    yield from rows(found)
    for each in [*found.get("policies", []), *found.get("end_to_end", [])]:
        yield from loops(each)


if __name__ == "__main__":
    main(measure)
