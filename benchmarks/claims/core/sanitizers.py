# SPDX-License-Identifier: Apache-2.0
"""AddressSanitizer and UndefinedBehaviorSanitizer builds of the native core pass its tests.

Runs tests/sanitize.sh, which builds the core with both sanitizers in a temporary folder and runs
the native tests against that build, once per instruction set of this machine, and the CUDA kernels'
bodies on the host. Any report ends the run with an error.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.claims.claim import Figure, main

SCRIPT = Path(__file__).parents[3] / "tests" / "sanitize.sh"


def measure() -> Iterator[Figure]:
    """Run the script and read pytest's last line per instruction set."""
    done = subprocess.run(
        ["bash", str(SCRIPT)], env={**os.environ, "PYTHON": sys.executable},
        capture_output=True, text=True,
    )  # fmt: skip
    text = done.stdout + done.stderr
    clean = done.returncode == 0 and "sanitize: no report" in text
    yield Figure("exit code of tests/sanitize.sh", done.returncode, "<= 0",
                 note="" if clean else text[-400:].replace("\n", " "))  # fmt: skip
    failed = sum(int(n) for n in re.findall(r"(\d+) (?:failed|errors?)\b", text))
    yield Figure("tests that failed under the sanitizers", failed, "<= 0")
    parts = re.findall(r"^sanitize: ([^\n]+)\n((?:(?!sanitize: ).*\n)*)", text, re.M)
    counts = [(name, re.search(r"(\d+) passed", lines)) for name, lines in parts]
    passed = {name: int(count[1]) for name, count in counts if count}
    absent = re.findall(r"this machine has no (\w+)", text)
    each = ", ".join(f"{name} {n}" for name, n in passed.items())
    yield Figure("tests that passed, all parts", sum(passed.values()), ">= 1",
                 note=each + "".join(f"; no {name} here" for name in absent))  # fmt: skip


if __name__ == "__main__":
    main(measure)
