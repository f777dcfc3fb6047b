# SPDX-License-Identifier: Apache-2.0
"""The C library built for 64-bit Arm (NEON) writes the bits that it writes on x86-64.

Runs tests/arm.sh: a cross-compiler, tests/capi_battery.cpp on the library, and qemu where this
machine is no Arm.  Normals, corruptions, squared errors with gradients, steps of AdamW and rows of
all dtypes are compared with tests/data/digests.txt, which a test compares on x86-64.  Nothing is
said of speed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.claims.claim import Figure, main

ROOT = Path(__file__).parents[3]


def measure() -> Iterator[Figure]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        ["bash", str(ROOT / "tests/arm.sh")], env={**os.environ, "PATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    note = "" if done.returncode == 0 else (done.stdout + done.stderr)[-300:].replace("\n", " ")
    yield Figure("exit code of tests/arm.sh", done.returncode, "<= 0", note=note)
    expected = (ROOT / "tests/data/digests.txt").read_text().splitlines()
    for target in ("neon", "baseline"):
        _, _, after = done.stdout.partition(f"{target}\n")
        found = after.splitlines()[: len(expected)]
        differ = sum(line not in found for line in expected)
        kinds = ", ".join(line.split()[0] for line in expected)
        yield Figure(f"{target}: kinds of kernels whose bits differ", differ, "<= 0", note=kinds)


if __name__ == "__main__":
    main(measure)
