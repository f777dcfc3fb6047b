# SPDX-License-Identifier: Apache-2.0
"""What a CUDA device shows: bandwidth of rows, whole loops beside their baselines, equal bits.

    python -m benchmarks.claims.cuda.on_device [FILE ...]

Runs ``python -m benchmarks.gpu`` and reads what it wrote, or reads files that it wrote before, for
instance one for each of its parts.  Every ratio is of wall times in one run: above 1 ours is
faster. The published loop, one graph over eager network and step, and one graph over both compiled
are three of its baselines; it prints the others, and compile times apart. What failed falls short,
and so does a comparison with a bar that the time did not allow.
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
from benchmarks.gpu.contenders import (
    CAPTURED,
    CAPTURED_COMPILED,
    EAGER_GRAPH,
    GRAPH,
    OTHER_BATCH,
    PUBLISHED,
    TIME_IS_UP,
)
from pydiffcore.ops import native

LARGE = 64 * 2**20  # bytes of state from which rows are bound by memory
COPY_SHARE = 0.9
LARGEST = "DiT-XL/2"
POLICIES = ("policy", "transformer policy")
PUBLISHED_BAR = {**dict.fromkeys(POLICIES, ">= 3"), "EDM U-Net": ">= 1.5"}
LISTS = ("bits", "rows", "policies", "end_to_end")


def measured(paths: list[str]) -> dict[str, Any]:
    """Return the benchmark's figures, from files where some are named."""
    if paths:
        return joined([json.loads(Path(path).read_text("utf-8")) for path in paths])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gpu.json"
        subprocess.run([sys.executable, "-m", "benchmarks.gpu", "--json", str(path)], check=False)
        return joined([json.loads(path.read_text("utf-8"))] if path.exists() else [])


def joined(each: list[dict[str, Any]]) -> dict[str, Any]:
    """Return runs on one device as if they were one.

    Raises:
        ValueError: they are of different devices.

    """
    devices = {one["facts"]["device"] for one in each}
    if len(devices) > 1:
        raise ValueError(f"the files are of different devices: {', '.join(sorted(devices))}")
    found: dict[str, Any] = {part: [x for one in each for x in one.get(part, [])] for part in LISTS}
    counts = [one["count"] for one in each if "count" in one]
    return {
        **found,
        "facts": each[0]["facts"] if each else {},
        "count": counts[0] if counts else {},
        "errors": [f"{part}: {error}" for one in each for part, error in one["errors"].items()],
        "seconds": max((one.get("seconds", 0.0) for one in each), default=0.0),
    }


def rows(found: dict[str, Any]) -> Iterator[Figure]:
    """Share of a copy's bandwidth of every type of row that is bound by memory."""
    for each in found["rows"]:
        if "share_of_copy" in each and each["state_bytes"] >= LARGE:
            share = each["share_of_copy"]["median"]
            yield Figure(f"{row_name(each)}: share of copy", share, f">= {COPY_SHARE}")


def row_name(each: dict[str, Any]) -> str:
    """The row's type and size."""
    dtypes = f"state {each['state']}, network {each['io']}"
    return f"{each['kind']}, {dtypes}, {each['size']:.0e} elements"


def loops(each: dict[str, Any]) -> Iterator[Figure]:
    """Our captured loops beside the baselines of one network."""
    wall = {one["name"]: one["wall_seconds"]["median"] for one in each["contenders"]}
    left_out = each["skipped_contenders"]
    name, what = each["network"], loop_name(each)

    def ratio(other: str, ours: str, bar: str) -> Iterator[Figure]:
        missing = [one for one in (other, ours) if one not in wall]
        if not missing:
            yield Figure(f"{what}: {other} over {ours}", wall[other] / wall[ours], bar)
        elif bar and left_out.get(missing[0]) != OTHER_BATCH:
            reason = f"{missing[0]}: {left_out.get(missing[0])}"
            yield Figure(f"{what}: {other} over {ours}, compared", 0, ">= 1", note=reason)

    yield from ratio(PUBLISHED, CAPTURED, PUBLISHED_BAR.get(name, "") if each["batch"] == 1 else "")
    yield from ratio(EAGER_GRAPH, CAPTURED, "" if name == LARGEST else ">= 1")
    noisy = name in POLICIES and each["stochastic"]
    yield from ratio(GRAPH, CAPTURED_COMPILED, ">= 1.05" if noisy else ">= 0.98")
    if name == LARGEST and CAPTURED in wall and EAGER_GRAPH in wall:
        gain = abs(wall[EAGER_GRAPH] / wall[CAPTURED] - 1)
        yield Figure(f"{what}: difference from one graph", gain, "<= 0.01")
    for one in each["contenders"]:
        if name in POLICIES and one["name"] in (CAPTURED, CAPTURED_COMPILED):
            yield from latency(what, one)
    if "seconds" in each.get("cold_start", {}):
        seconds = each["cold_start"]["seconds"]
        yield Figure(f"{what}: cold start to the first action", seconds, "< 2", "s")


def loop_name(each: dict[str, Any]) -> str:
    return f"{each['network']}, {each['sampler']}, batch {each['batch']}"


def latency(what: str, one: dict[str, Any]) -> Iterator[Figure]:
    """Percentiles of a policy's latency, a new observation each time."""
    for key in ("p50", "p99", "jitter"):
        yield Figure(f"{what}, {one['name']}: {key}", 1e3 * one[f"{key}_seconds"], unit="ms",
                     note=f"{one['calls']} calls")  # fmt: skip


def checks(found: dict[str, Any]) -> Iterator[Figure]:
    """Bits and launches."""
    differ = sum(len(each["differ"]) for each in found["bits"])
    compared = sum(each["compared"] for each in found["bits"])
    yield Figure("noise and states whose bits differ from the CPU's", differ, "<= 0",
                 note=f"{compared} compared")  # fmt: skip
    yield Figure("comparisons of bits", compared, ">= 1")
    holds = found["count"].get("holds") is True
    yield Figure("one launch per network call, by the profiler", float(holds), ">= 1")


def missing(found: dict[str, Any]) -> Iterator[Figure]:
    """What failed, and what was left out."""
    named = [(row_name, each) for each in found["rows"] if "size" in each]
    named += [(loop_name, each) for each in (*found["policies"], *found["end_to_end"])]
    errors = list(found["errors"])
    errors += [f"{name(each)}: {each['error']}" for name, each in named if "error" in each]
    cold = [(name, each) for name, each in named if "error" in each.get("cold_start", {})]
    errors += [f"{name(each)}: cold start: {each['cold_start']['error']}" for name, each in cold]
    yield Figure("parts, rows, networks and cold starts that failed", len(errors), "<= 0",
                 note="; ".join(errors)[:500])  # fmt: skip
    skipped = [(name(each), each) for name, each in named if "skipped" in each]
    late = [what for what, each in skipped if each["skipped"] == TIME_IS_UP and has_bar(each)]
    yield Figure("rows and networks with a bar that the time did not allow", len(late), "<= 0",
                 note="; ".join(late)[:500])  # fmt: skip
    others = [f"{what}: {each['skipped']}" for what, each in skipped if what not in late]
    yield Figure("others that were left out", len(others), note="; ".join(others)[:500])


def has_bar(each: dict[str, Any]) -> bool:
    """Whether a row or network would have had a bar of its own."""
    if "size" in each:
        return bool(4 * each["size"] >= LARGE)
    return each["batch"] == 1 or each["network"] == LARGEST


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    """Every figure of what the benchmark found."""
    facts = found["facts"]
    about = f"{facts.get('device')}, driver {facts.get('driver')}, torch {facts.get('torch')}"
    yield Figure("seconds of the benchmark", found["seconds"], "< 480", "s", about)
    yield from checks(found)
    yield from missing(found)
    yield from rows(found)
    for each in (*found["policies"], *found["end_to_end"]):
        if "contenders" in each:
            yield from loops(each)


def measure() -> Iterator[Figure]:
    reason = (
        native.unsupported("cuda") or ""
        if torch.cuda.is_available()
        else "this torch sees no CUDA device"
    )
    if reason and len(sys.argv) == 1:
        yield Figure("CUDA devices: nothing is measured", 0, ">= 1", note=reason)
        return
    yield from figures(measured(sys.argv[1:]))


if __name__ == "__main__":
    main(measure)
