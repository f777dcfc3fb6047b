# SPDX-License-Identifier: Apache-2.0
"""The short table on the screen; the JSON has every figure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.gpu.contenders import CAPTURED, CAPTURED_COMPILED

__all__ = ["bits", "counted", "end_to_end", "heading", "policy", "rows", "summary"]


def heading(facts: dict[str, Any], scale: str) -> str:
    return (
        f"{facts['device']}, compute capability {facts['compute_capability']}, driver "
        f"{facts['driver']}, torch {facts['torch']}, CUDA {facts['cuda']}, pydiffcore "
        f"{facts['pydiffcore']}, {facts['date']}, {scale}"
    )


def bits(each: dict[str, Any]) -> str:
    verdict = "equal to the CPU's" if each["holds"] else f"DIFFER in {each['differ']}"
    return f"bits of {each['what']}: {verdict} ({each['compared']} comparisons)"


def counted(each: dict[str, Any]) -> str:
    what = f"row kernels per network call, {each['sampler']} on {each['network']}"
    if "skipped" in each:
        return f"{what}: not counted, {each['skipped']}"
    verdict = "" if each["holds"] else "  SHORT: expected 1"
    return f"{what}: {each['per_call']:g} ({each['row_kernels']} in {each['calls']} calls){verdict}"


def rows(found: list[dict[str, Any]]) -> Iterable[str]:
    """One line per type of row: share of the copy's bandwidth at each size."""
    for each in found:
        if each["kind"] == "large copy":
            yield f"copy: {each['bytes_per_second']['median'] / 1e9:.0f} GB/s"
    found = [each for each in found if each["kind"] != "large copy"]
    sizes = sorted({each["size"] for each in found})
    yield "share of the bandwidth of a copy of as many bytes, by elements"
    yield (
        f"{'row':<24}{'state':<9}{'network':<9}"
        + "".join(f"{n:>8.0e}" for n in sizes)
        + "  GB/s at last  µs at first"
    )
    for key in dict.fromkeys(map(type_of, found)):
        line = {each["size"]: each for each in found if type_of(each) == key}
        shares = "".join(f"{share(line.get(n, {})):>8}" for n in sizes)
        done = [line[n] for n in sizes if "share_of_copy" in line.get(n, {})]
        yield f"{key[0]:<24}{key[1]:<9}{key[2]:<9}{shares}{ends(done)}"
    skipped = {each["skipped"] for each in found if "skipped" in each}
    yield from (f"left out: {reason}" for reason in sorted(skipped))
    for each in found:
        if "error" in each:
            what = f"{', '.join(type_of(each))}, {each['size']:.0e} elements"
            yield f"FAILED: {what}: {each['error']}"


def type_of(each: dict[str, Any]) -> tuple[str, str, str]:
    return each["kind"], each["state"], each["io"]


def share(each: dict[str, Any]) -> str:
    """A cell of the table."""
    if "share_of_copy" in each:
        return f"{each['share_of_copy']['median']:.0%}"
    return "FAILED" if "error" in each else "—"


def ends(done: list[dict[str, Any]]) -> str:
    """Bandwidth at the largest size and time at the smallest."""
    if not done:
        return ""
    speed, first = done[-1]["bytes_per_second"]["median"], done[0]["seconds_per_row"]["median"]
    return f"{speed / 1e9:>14.0f}{1e6 * first:>13.2f}"


def end_to_end(each: dict[str, Any]) -> Iterable[str]:
    """Lines of one network and batch."""
    yield ""
    if "contenders" not in each:
        yield f"{each['network']}, batch {each['batch']}: {each.get('skipped') or each['error']}"
        return
    yield (
        f"{named(each)}, {each['calls']} calls, batch {each['batch']}, {each['io']}"
        f"{compiling(each)}"
    )
    yield (
        f"  {'':<31}{'first s':>8}{'device ms':>11}{'wall ms':>11}{'quartiles':>20}"
        f"{'/captured':>10}{'/compiled':>10}  difference"
    )
    for one in each["contenders"]:
        wall = one["wall_seconds"]
        spread = f"{1e3 * wall['lower_quartile']:.2f} … {1e3 * wall['upper_quartile']:.2f}"
        over = "".join(
            f"{one['over'][ours]['median']:>10.2f}" if ours in one["over"] else f"{'—':>10}"
            for ours in (CAPTURED, CAPTURED_COMPILED)
        )
        yield (
            f"  {one['name']:<31}{one['build_seconds']:>8.2f}"
            f"{1e3 * one['device_seconds']['median']:>11.2f}{1e3 * wall['median']:>11.2f}"
            f"{spread:>20}{over}  {compared(one)}"
        )
    yield from closing(each)


def policy(each: dict[str, Any]) -> Iterable[str]:
    """Lines of one sampler of the policy."""
    yield ""
    if "contenders" not in each:
        yield f"{each['network']}, {each['sampler']}: {each.get('skipped') or each['error']}"
        return
    yield f"{named(each)}, {each['calls']} calls, batch 1, {each['io']}{compiling(each)}"
    yield (
        f"  {'':<31}{'first s':>8}{'p50 ms':>10}{'p99 ms':>10}{'jitter ms':>11}{'calls':>7}"
        "  difference"
    )
    for one in each["contenders"]:
        yield (
            f"  {one['name']:<31}{one['first_seconds']:>8.2f}"
            f"{1e3 * one['p50_seconds']:>10.3f}{1e3 * one['p99_seconds']:>10.3f}"
            f"{1e3 * one['jitter_seconds']:>11.3f}{one['calls']:>7}  {compared(one)}"
        )
    if "cold_start" in each:
        yield f"  cold start, captured, in a new process: {begun(each['cold_start'])}"
    yield from closing(each)


def begun(cold: dict[str, Any]) -> str:
    """What a new process needed, or why it is not known."""
    if "error" in cold:
        return f"FAILED: {cold['error']}"
    return (
        f"{cold['seconds']:.2f} s to the first action, after {cold['import_seconds']:.1f} s of "
        f"importing and {cold['network_seconds']:.1f} s of making the network"
    )


def named(each: dict[str, Any]) -> str:
    return f"{each['network']} ({each['parameters'] / 1e6:.3g} M), {each['sampler']}"


def compiling(each: dict[str, Any]) -> str:
    seconds = each["compile_seconds"]
    return "" if seconds is None else f", network compiled in {seconds:.1f} s"


def compared(one: dict[str, Any]) -> str:
    """The difference of a contender's result, and whether it is what it says it is."""
    said = "own noise" if one["difference"] is None else f"{one['difference']:.1e}"
    if one["agrees"] is False:
        said += "  DIFFERS"
    if one.get("kind") == "eager":
        said += f"  not captured: {one['reason']}"
    return said


def closing(each: dict[str, Any]) -> Iterable[str]:
    """What was left out and why, and who was fastest."""
    for name, reason in each["skipped_contenders"].items():
        yield f"  {name:<31}left out: {reason}"
    if each["verdict"] is not None:
        end = each["verdict"]
        yield (
            f"  {end['outcome']}: fastest other ({end['other']}) takes {end['ratio']:.2f} times "
            f"{end['ours']}"
        )


def summary(found: list[dict[str, Any]]) -> Iterable[str]:
    """Every verdict, wins and losses alike, by the size of the network."""
    judged = [each for each in found if each.get("verdict")]
    if judged:
        yield "fastest other / fastest of ours (above 1 we win)"
    for each in sorted(judged, key=lambda each: each["parameters"]):
        end, what = each["verdict"], f"{named(each)}, batch {each['batch']}"
        yield f"  {what:<58}{end['ratio']:>7.2f}  {end['outcome']}: {end['ours']} / {end['other']}"
