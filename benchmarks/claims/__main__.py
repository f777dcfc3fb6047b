# SPDX-License-Identifier: Apache-2.0
"""Rerun the claims of a capability and write docs/claims.md.

    python -m benchmarks.claims CAPABILITY [SCRIPT ...]

With scripts named, only these are rerun; all other sections are kept, and so is the section of a
script that ends without a figure.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.claims.claim import Figure

DOCUMENT = Path("docs/claims.md")
HERE = Path(__file__).parent
CAPABILITIES = sorted(path.parent.name for path in HERE.glob("*/__init__.py"))
HEAD = """# Claims

Every figure here is printed by the command beside it, and `python -m benchmarks.claims CAPABILITY`
reruns all of a capability and writes them into this file, docs/claims.md.  Figures without a bar
are published beside those that have one.
"""


def processor() -> str:
    """Name of the processor, as far as the system tells, with cores and instruction sets."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"model name\s*: (.*)", text)
    family = re.search(r"cpu family\s*: (.*)", text)
    model = re.search(r"model\s*: (.*)", text)
    wide = ", AVX-512" if "avx512f" in text else ", AVX2" if "avx2" in text else ""
    where = f" (family {family[1]}, model {model[1]})" if family and model else ""
    return f"{name[1] if name else platform.machine()}{where}, {os.cpu_count()} cores{wide}"


def commit() -> str:
    """Short hash of the commit that was measured, marked if the tree had changes."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "pydiffcore", "csrc", "CMakeLists.txt")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def run(capability: str, name: str) -> tuple[bool, list[Figure], float]:
    """Run one script; return whether it held, its figures and its seconds."""
    module = f"benchmarks.claims.{capability}.{name}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", module], env={**os.environ, "CLAIMS_JSON": str(path)}
        )
        figures = json.loads(path.read_text()) if path.exists() else []
    seconds = time.monotonic() - started
    return done.returncode == 0, [Figure(**figure) for figure in figures], seconds


def section(capability: str, name: str, held: bool, figures: list[Figure], seconds: float) -> str:
    """One script's part of the document."""
    doc = (importlib.import_module(f"benchmarks.claims.{capability}.{name}").__doc__ or "").strip()
    stamp = f"{commit()}, {datetime.date.today()}, {processor()}, {seconds:.0f} s"
    verdict = "holds" if held else "**falls short**"
    lines = [
        f"### {name}: {verdict}", "", doc, "",
        f"`python -m benchmarks.claims.{capability}.{name}` · {stamp}", "",
        "| | measured | bar | |", "|---|---:|---:|---|",
    ]  # fmt: skip
    for figure in figures:
        mark = "" if figure.holds else "**short** "
        bar = figure.bar.replace(">=", "≥").replace("<=", "≤")
        value = f"{figure.value:.4g} {figure.unit}".strip()
        lines.append(f"| {figure.what} | {value} | {bar} | {mark}{figure.note} |")
    return "\n".join(lines) + "\n"


def parts_of(text: str) -> dict[tuple[str, str], str]:
    """Return the document's sections by capability and script."""
    return {
        (part[1], found[1]): found[0].rstrip() + "\n"
        for part in re.finditer(r"^## (\w+)$.*?(?=^## |\Z)", text, re.M | re.S)
        for found in re.finditer(r"^### (\w+):.*?(?=^### |\Z)", part[0], re.M | re.S)
    }


def document(parts: dict[tuple[str, str], str]) -> str:
    """Return the whole document: one section per capability, its scripts in their order."""
    body = [HEAD]
    for capability in CAPABILITIES:
        module = importlib.import_module(f"benchmarks.claims.{capability}")
        scripts = [parts[capability, name] for name in module.ORDER if (capability, name) in parts]
        if scripts:
            body += [f"## {capability}\n\n{(module.__doc__ or '').strip()}\n", *scripts]
    return "\n".join(body)


def main() -> None:
    """Run the scripts and rewrite the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    parser.add_argument("capability", choices=CAPABILITIES)
    parser.add_argument("scripts", nargs="*", help="only these")
    given = parser.parse_args()
    order = importlib.import_module(f"benchmarks.claims.{given.capability}").ORDER
    unknown = set(given.scripts) - set(order)
    if unknown:
        parser.error(f"no such script: {', '.join(sorted(unknown))}; there are {', '.join(order)}")
    failed = []
    for name in given.scripts or order:
        print(f"== {name}", flush=True)
        held, figures, seconds = run(given.capability, name)
        failed += [] if held and figures else [name]
        if not figures:
            print(f"{name} ended without a figure: {DOCUMENT} keeps what it had", flush=True)
            continue
        # Read again: another capability may have been rerun in the meantime.
        parts = parts_of(DOCUMENT.read_text() if DOCUMENT.exists() else "")
        parts[given.capability, name] = section(given.capability, name, held, figures, seconds)
        DOCUMENT.write_text(document(parts))
    print(f"short: {', '.join(failed)}" if failed else "all hold")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
