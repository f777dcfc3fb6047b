# SPDX-License-Identifier: Apache-2.0
"""Run tests and count their outcomes, for claims that a set of tests carries."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Outcome", "run"]


@dataclass(frozen=True)
class Outcome:
    """How many tests passed and were skipped, and which did not pass."""

    passed: int
    skipped: int
    bad: tuple[str, ...]

    @property
    def note(self) -> str:
        """What belongs beside the number of tests that did not pass."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed{skipped}" + "".join(f"; {name}" for name in self.bad[:5])


def run(ids: Sequence[str], *options: str) -> Outcome:
    """Run the tests of these node ids or files with this interpreter.

    A run that collects nothing, or ends before its last test, counts as one that did not pass.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                f"--junitxml={report}", *options, *ids,
            ],
            capture_output=True, text=True,
        )  # fmt: skip
        cases = ElementTree.parse(report).findall(".//testcase") if report.exists() else []
    bad = [case.get("name", "?") for case in cases if _has(case, "failure", "error")]
    skipped = sum(_has(case, "skipped") for case in cases)
    if done.returncode and not bad:
        return Outcome(0, 0, (f"pytest ended with {done.returncode}: {done.stdout[-300:]}",))
    passed = len(cases) - len(bad) - skipped
    return Outcome(passed, skipped, tuple(bad) if passed else (*bad, "no test passed"))


def _has(case: ElementTree.Element, *tags: str) -> bool:
    return any(case.find(tag) is not None for tag in tags)
