# SPDX-License-Identifier: Apache-2.0
"""The script that runs tests under compute-sanitizer: its tools, their options, fewer cases."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FAKE = '#!/bin/sh\necho "$PYDIFFCORE_EVERY $PYTORCH_NO_CUDA_MEMORY_CACHING: $*"\nexit $STATUS\n'


def script(folder, *tools, status=0, **more):
    """Run it with a compute-sanitizer that only says how it was called."""
    (folder / "compute-sanitizer").write_text(FAKE)
    (folder / "compute-sanitizer").chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "tests/cuda/sanitizer.sh", *tools], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PATH": path, "PYTHON": "python", "STATUS": str(status), **more},
    )  # fmt: skip


def test_all_tools(tmp_path):
    done = script(tmp_path)
    assert done.returncode == 0
    said = [line for line in done.stdout.splitlines() if "--tool" in line]
    assert [line.split()[3] for line in said] == ["memcheck", "racecheck", "synccheck"]
    assert [("--report-api-errors no" in line) for line in said] == [True, False, False]
    tests = "python -m pytest -q -m gpu -k test_bits tests/ops/test_gpu_bits.py"
    assert all(line.startswith("1 1: ") and line.endswith(tests) for line in said)


def test_one_tool_with_fewer_cases_that_finds_something(tmp_path):
    done = script(tmp_path, "racecheck", "memcheck", status=1, EVERY="7")
    assert done.returncode == 1
    assert done.stdout.startswith("== racecheck\n7 1: --tool racecheck")
    assert "memcheck" not in done.stdout


def test_fewer_cases_leave_some_of_each():
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "gpu"]
    done = subprocess.run(
        [*command, "-k", "test_bits", "tests/ops/test_gpu_bits.py"], cwd=ROOT, text=True,
        capture_output=True, env={**os.environ, "PYDIFFCORE_EVERY": "7"},
    )  # fmt: skip
    tests = [line for line in done.stdout.splitlines() if "::" in line]
    assert done.returncode == 0
    assert len(tests) < 30
    kinds = ("test_bits_of_rows", "test_bits_of_channels_last", "test_bits_of_parts", "normals")
    for kind in (*kinds, "sizes", "corruption", "samples", "state0", "state1", "io0", "io3"):
        assert any(kind in test for test in tests), kind
