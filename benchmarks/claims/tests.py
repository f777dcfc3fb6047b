# SPDX-License-Identifier: Apache-2.0
"""Figures from tests: how many passed, failed and were skipped."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.claims.claim import Figure

__all__ = ["outcomes"]


def outcomes(selection: list[str]) -> Iterator[Figure]:
    """Run pytest on a selection and yield the counts."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *selection]
    done = subprocess.run(command, capture_output=True, text=True)
    counts = {
        word: int(number)
        for number, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", done.stdout)
    }
    if done.returncode != 0:
        print(done.stdout[-3000:], done.stderr[-1000:])
    name = " ".join(selection)
    yield Figure(f"{name}: passed", counts.get("passed", 0), ">= 1")
    bad = counts.get("failed", 0) + counts.get("error", 0) + counts.get("errors", 0)
    yield Figure(f"{name}: failed", bad + (done.returncode != 0 and bad == 0), "<= 0")
    if counts.get("skipped"):
        yield Figure(f"{name}: skipped", counts["skipped"])
