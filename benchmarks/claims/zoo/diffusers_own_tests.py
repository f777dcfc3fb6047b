# SPDX-License-Identifier: Apache-2.0
"""Diffusers' own scheduler tests, run on our classes.

    python -m benchmarks.claims.zoo.diffusers_own_tests PATH [pytest arguments]

PATH is a source tree of diffusers (or DIFFUSERS_SOURCE): its packages leave the tests out.  The
same tests run on diffusers' own classes beside: those of a tree that is not of the installed
version, or that ask for the network, fail with both.  What must not be is a test that fails with
ours alone.
"""

from __future__ import annotations

import hashlib
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


def run(source: Path, arguments: list[str], plugin: list[str]) -> ElementTree.Element:
    """Run the tests in a process of their own, on our classes or diffusers', return its report."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        path = os.pathsep.join([str(ROOT), str(source), os.environ.get("PYTHONPATH", "")])
        subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", *plugin, "-p", "no:cacheprovider",
                "-c", os.devnull, "--rootdir", str(source),
                "--import-mode=importlib", f"--junitxml={report}", *arguments,
                *map(str, files(source)),
            ],
            cwd=source,
            env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"},
            check=False,
        )  # fmt: skip
        return ElementTree.parse(report).getroot()


def outcomes(report: ElementTree.Element) -> dict[str, str]:
    """Return what became of each test, without those of the common base, which has no class."""
    found = {}
    for case in report.iter("testcase"):
        if str(case.get("classname")).endswith(".SchedulerCommonTest"):
            continue
        name = f"{case.get('classname')}::{case.get('name')}"
        wrong = case.find("failure") is not None or case.find("error") is not None
        reason = next((why for end, why in REFUSED.items() if name.endswith(end)), None)
        kind = "refused" if wrong and reason else "failed" if wrong else "passed"
        found[name] = "skipped" if case.find("skipped") is not None else kind
    return found


def measure(source: Path, arguments: list[str]) -> Iterator[Figure]:
    """Count the tests that pass and fail with our classes, beside those with diffusers' own.

    A tree of another version than the package has tests that fail with both.  Some go through a
    set of classes in the order of their hashes, which is the same for both here.
    """
    theirs = outcomes(run(source, arguments, []))
    ours = outcomes(run(source, arguments, ["-p", "benchmarks.claims.zoo.substitute"]))
    only = [name for name, kind in ours.items() if kind == "failed" != theirs.get(name)]
    for name, kind in ours.items():
        if kind in ("failed", "refused"):
            print(f"       {kind}{', with ours alone' * (name in only)}: {name}", flush=True)
    what = "tests of diffusers' own suite on our classes"
    counts = {kind: list(ours.values()).count(kind) for kind in set(ours.values())}
    their_failures = list(theirs.values()).count("failed")
    texts = [path.read_bytes() for path in files(source)]
    digest = hashlib.sha256(b"".join(texts)).hexdigest()[:16]
    about = source / "ABOUT"  # where the tree is not a checkout
    note = f"{about.read_text().strip()}; " if about.exists() else ""
    yield Figure("files of tests", len(texts), note=f"{note}SHA-256 of all {digest}")
    yield Figure(f"{what}, passed", counts.get("passed", 0), "> 0")
    yield Figure(f"{what}, failed with ours alone", len(only), "<= 0")
    yield Figure(f"{what}, failed with both", counts.get("failed", 0) - len(only))
    yield Figure(f"{what}, failed with theirs", their_failures, note="their own classes")
    yield Figure(f"{what}, refused", counts.get("refused", 0), "<= 5")
    yield Figure(f"{what}, skipped by the suite itself", counts.get("skipped", 0))


def claim() -> Iterator[Figure]:
    """Measure the tree that was named; nothing where none was."""
    named = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("DIFFUSERS_SOURCE")
    if not named:
        print("name a tree: PATH, or DIFFUSERS_SOURCE; diffusers' packages leave the tests out")
        return
    yield from measure(Path(named).resolve(), sys.argv[2:])


if __name__ == "__main__":
    main(claim)
