# SPDX-License-Identifier: Apache-2.0
"""Diffusers' own scheduler tests, run on our classes.

    python -m benchmarks.claims.zoo.diffusers_own_tests PATH [pytest arguments]

PATH is a source tree of diffusers (or DIFFUSERS_SOURCE): its packages leave the tests out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.claims.claim import Figure, main

ROOT = Path(__file__).parents[3]
# Tests that we refuse, with the reason: test id, or its end.
REFUSED: dict[str, str] = {}


def files(source: Path) -> list[Path]:
    """Return the test files of the schedulers that we have.

    Raises:
        FileNotFoundError: the tree has none.

    """
    import pydiffcore.adapters.diffusers as ours

    folder = source / "tests" / "schedulers"
    found = sorted(folder.glob("test_scheduler*.py"))
    if not found:
        raise FileNotFoundError(f"{folder} has no test_scheduler*.py: not a tree of diffusers")
    names = re.compile("|".join(rf"\b{name}\b" for name in ours.FAMILIES))
    return [path for path in found if names.search(path.read_text())]


def run(source: Path, arguments: list[str]) -> ElementTree.Element:
    """Run the tests in a process of their own and return its report."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        path = os.pathsep.join([str(ROOT), str(source), os.environ.get("PYTHONPATH", "")])
        subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-p", "benchmarks.claims.zoo.substitute",
                "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(source),
                "--import-mode=importlib", f"--junitxml={report}", *arguments,
                *map(str, files(source)),
            ],
            cwd=source,
            env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
            check=False,
        )  # fmt: skip
        return ElementTree.parse(report).getroot()


def measure(source: Path, arguments: list[str]) -> Iterator[Figure]:
    """Count the tests that pass, fail, are skipped by the suite itself, and are refused."""
    counts = {"passed": 0, "failed": 0, "skipped": 0, "refused": 0}
    for case in run(source, arguments).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        wrong = case.find("failure") is not None or case.find("error") is not None
        reason = next((why for end, why in REFUSED.items() if name.endswith(end)), None)
        kind = "refused" if wrong and reason else "failed" if wrong else "passed"
        kind = "skipped" if case.find("skipped") is not None else kind
        counts[kind] += 1
        if wrong:
            print(f"       {kind}: {name}{f' ({reason})' if reason else ''}", flush=True)
    what = "tests of diffusers' own suite on our classes"
    yield Figure(f"{what}, passed", counts["passed"], "> 0")
    yield Figure(f"{what}, failed", counts["failed"], "<= 0")
    yield Figure(f"{what}, refused", counts["refused"], "<= 5")
    yield Figure(f"{what}, skipped by the suite itself", counts["skipped"])


def claim() -> Iterator[Figure]:
    """Measure the tree that was named; nothing where none was."""
    named = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("DIFFUSERS_SOURCE")
    if not named:
        note = "name one: PATH, or DIFFUSERS_SOURCE; diffusers' packages leave the tests out"
        yield Figure("source trees of diffusers that were named", 0, note=note)
        return
    yield from measure(Path(named).resolve(), sys.argv[2:])


if __name__ == "__main__":
    main(claim)
