# SPDX-License-Identifier: Apache-2.0
"""What the GPU benchmark writes, on a CPU: every kind of record, its line, and its claims."""

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.claims.cuda import on_device
from benchmarks.gpu import build, cold, policies, row, run, table
from benchmarks.gpu.contenders import CAPTURED, CAPTURED_COMPILED, GRAPH, TIME_IS_UP
from benchmarks.gpu.report import Report
from benchmarks.gpu.scale import PARTS, TINY, Deadline

CPU = torch.device("cpu")
LEAST = replace(
    TINY, elements=(10**4,), dtypes=(torch.bfloat16,), launches=8, copied=2**16, rounds=1,
    seconds=0.0, batches=(1,), calls=2,
)  # fmt: skip
ABOUT = {"scale": "least", "facts": {"device": "a CPU"}}
pytestmark = pytest.mark.usefixtures("one_thread")


def measured(parts, path=None, minutes=5.0):
    """A report of some parts."""
    report = Report(path, CPU, ABOUT)
    run.measure(report, parts, LEAST, CPU, Deadline(minutes, parts))
    return report


def read(report):
    """What a claim reads of it, through JSON."""
    return on_device.joined([json.loads(json.dumps(report.content))])


def bars(found):
    """The figures with a bar, by name."""
    return {figure.what: figure for figure in on_device.figures(found) if figure.bar}


FAILED = "parts, rows, networks and cold starts that failed"
LATE = "rows and networks with a bar that the time did not allow"


def test_rows_of_every_type_and_one_that_fails(monkeypatch, capsys, tmp_path):
    advance_parts = row.Row.advance_parts

    def broken(self, rows):
        if self.plan.is_stochastic:
            raise RuntimeError("out of memory")
        advance_parts(self, rows)

    monkeypatch.setattr(row.Row, "advance_parts", broken)
    report = measured(["rows"], str(tmp_path / "gpu.json"))
    assert json.loads((tmp_path / "gpu.json").read_text("utf-8")) == report.content
    _, *rows = report.content["rows"]
    assert len(rows) == 7 + 4 + 2 * 7
    assert [each["kind"] for each in rows if "error" in each] == ["ancestral [B, T]"]
    assert not report.holds
    assert "FAILED: ancestral [B, T], float32, bfloat16, 1e+04 elements" in capsys.readouterr().out
    done = [each for each in rows if "error" not in each]
    assert {each["state_bytes"] // each["elements"] for each in done} == {4, 8}
    assert all(each["share_of_copy"]["median"] > 0 for each in done)
    found = read(report)
    assert bars(found)[FAILED].value == 1
    assert not any("share of copy" in what for what in bars(found))  # too small for a bar
    for each in found["rows"]:
        each["state_bytes"] = on_device.LARGE
    assert sum("share of copy" in what for what in bars(found)) == len(done)


def test_rows_move_what_the_plan_says():
    """Each layout runs all rows and ends in the state of the others."""
    ends = {}
    for layout in (row.PLAIN, row.BY_PARTS, row.LAST):
        one = row.Row(replace(row.SAMPLERS[3], layout=layout), 6400, CPU, 8)
        one.F.fill_(0.5)
        one.start()
        one.advance()
        ends[layout] = one.runner.result.flatten()
        assert one.elements == 6400
        assert one.bytes == one.plan.bytes_per_row(4, 4)[1:].sum() * 6400
    assert torch.equal(ends[row.BY_PARTS], ends[row.PLAIN])
    assert torch.equal(ends[row.LAST], ends[row.PLAIN])


def test_policies_and_their_claims(monkeypatch, capsys):
    monkeypatch.setattr(policies, "FEWER", {"ddpm": 5, "flow": 5})
    monkeypatch.setattr(cold, "asked", lambda given: {"error": "no such device"})
    report = measured(["policies"])
    ddpm, transformer, flow, _ = report.content["policies"]
    assert [ddpm["network"], ddpm["sampler"]] == ["policy", "ddpm"]
    assert [transformer["network"], flow["sampler"]] == ["transformer policy", "flow"]
    assert not report.content["errors"]
    assert not report.holds
    assert "cold start, captured, in a new process: FAILED" in capsys.readouterr().out
    ddpm["cold_start"] = {"seconds": 1.0, "network_seconds": 0.1, "import_seconds": 0.1}
    transformer["cold_start"] = ddpm["cold_start"]
    assert report.holds
    found = bars(read(report))
    assert found["policy, ddpm, batch 1: cold start to the first action"].bar == "< 2"
    for name in ("policy", "transformer policy"):
        assert found[f"{name}, ddpm, batch 1: published over {CAPTURED}"].bar == ">= 3"
        # A CPU has no graphs: a comparison with a bar that is not there falls short.
        compared = f"{name}, ddpm, batch 1: {GRAPH} over {CAPTURED_COMPILED}, compared"
        assert not found[compared].holds


def test_a_policy_that_fails_and_a_loop_that_fails(monkeypatch, capsys):
    def broken(*words, **more):
        raise RuntimeError("no kernel image")

    monkeypatch.setattr(policies, "policy_network", broken)
    monkeypatch.setattr("benchmarks.gpu.end_to_end.build", broken)
    report = measured(["policies", "end_to_end"])
    assert {each["error"] for each in report.timed} == {"RuntimeError: no kernel image"}
    assert len(report.timed) == 6 + 2
    assert not report.holds
    assert capsys.readouterr().out.count("no kernel image") == 6 + 2
    assert bars(read(report))[FAILED].value == 6 + 2


def test_nothing_fits_into_no_time(capsys):
    """All is left out, each with its name, and the claim says what it lacks."""
    report = measured([*PARTS][2:], minutes=0.0)
    _, *rows = report.content["rows"]
    assert {each["skipped"] for each in (*rows, *report.timed)} == {TIME_IS_UP}
    assert report.holds
    assert TIME_IS_UP in capsys.readouterr().out
    found = read(report)
    assert bars(found)[LATE].value == 6 + 2  # rows of this size have no bar
    assert list(table.summary(report.timed)) == []


def test_a_part_that_fails_does_not_cost_the_others(monkeypatch, capsys):
    def broken(*words):
        raise RuntimeError("illegal address")

    monkeypatch.setattr("benchmarks.gpu.bits.check", broken)
    report = measured(["bits", "count"])
    assert report.content["errors"] == {"bits": "RuntimeError: illegal address"}
    assert "count" in report.content
    assert not report.holds
    found = read(report)
    assert not bars(found)[FAILED].holds
    assert "illegal address" in bars(found)[FAILED].note


def test_files_of_parts_are_one_claim():
    first, second = measured(["count"]).content, measured(["bits"]).content
    found = on_device.joined([first, second])
    assert found["count"] == first["count"]
    assert found["bits"] == second["bits"]
    with pytest.raises(ValueError, match="different devices: a CPU, another"):
        on_device.joined([first, {**second, "facts": {"device": "another"}}])
    assert bars(on_device.joined([]))["comparisons of bits"].value == 0


def test_a_quiet_fall_back_does_not_hold():
    kinds = {"graph": True, "eager": False}
    for kind, holds in kinds.items():
        report = Report(None, torch.device("cuda"), ABOUT)
        report.add("policies", [{"contenders": [{"name": CAPTURED, "kind": kind, "agrees": True}]}])
        assert report.holds == holds
    report.add("policies", [{"contenders": [], "skipped_contenders": {CAPTURED: TIME_IS_UP}}])
    assert report.holds
    report.add("policies", [{"contenders": [], "skipped_contenders": {CAPTURED: "RuntimeError"}}])
    assert not report.holds


def test_parts_share_the_time():
    assert run.named(None) == list(PARTS)
    assert run.named("end_to_end,bits") == ["bits", "end_to_end"]
    with pytest.raises(SystemExit, match="no such part: row; there are bits"):
        run.named("row")
    assert Deadline(10.0).share("rows") == pytest.approx(150.0)
    assert Deadline(10.0, ["rows"]).share("rows") == pytest.approx(600.0)


def test_a_run_ends_with_its_status(tmp_path, monkeypatch):
    args = argparse.Namespace(
        tiny=True, quick=False, device="cpu", parts="count", json=str(tmp_path / "gpu.json")
    )
    assert run.run(args) == 0
    found = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert found["count"]["skipped"] == "no kernels on a CPU"
    monkeypatch.setattr("benchmarks.gpu.count.count", lambda *words: 1 / 0)
    assert run.run(args) == 1


def test_a_cold_start_is_a_process_of_its_own(monkeypatch):
    from benchmarks.gpu.task import policy_network, policy_task

    name = "transformer policy"
    given = policy_task(name, policy_network(name, CPU, TINY), "flow", 3, CPU, TINY)
    found = cold.asked(given)
    assert found["kind"] == "eager"
    assert min(found[f"{what}seconds"] for what in ("", "network_", "import_")) > 0
    given.method = "no such method"
    assert "no such method" in cold.asked(given)["error"]
    monkeypatch.setattr(cold, "LIMIT", 0.01)
    assert "TimeoutExpired" in cold.asked(given)["error"]


def test_what_was_built_is_looked_at(monkeypatch):
    """A build that fails, and one without kernels, are errors."""
    with pytest.raises(RuntimeError, match="failed with status 3"):
        build.build([sys.executable, "-c", "raise SystemExit(3)"])
    assert "cmake.define.PYDIFFCORE_CUDA=ON" in build.COMMAND
    nothing = [sys.executable, "-c", ""]
    monkeypatch.setattr(build, "ASK", "print('75 90')")
    assert build.build(nothing) == "75 90"
    monkeypatch.setattr(build, "ASK", "print()")
    with pytest.raises(RuntimeError, match="no CUDA kernels"):
        build.build(nothing)
    monkeypatch.setattr(build, "ASK", "import no_such_module")
    with pytest.raises(RuntimeError, match="no_such_module"):
        build.build(nothing)


def test_the_script_builds_before_it_imports_the_package():
    """Its first lines must run where the package has no compiled module yet."""
    code = "import sys, benchmarks.gpu.__main__; print([m for m in sys.modules if 'pydiff' in m])"
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=root, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == b"[]"
