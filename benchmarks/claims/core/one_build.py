# SPDX-License-Identifier: Apache-2.0
"""The same compiled file works under the torch that is installed here and under the oldest.

    python -m benchmarks.claims.core.one_build [--torch VERSION] [--index-url URL]

One wheel is built and installed, without dependencies, next to this environment's torch and next to
an old one, each in a virtual environment of its own under the system's temporary folder, where they
stay for the next run. Both then run one script (benchmarks/claims/one_build_probe.py); the figures
count what differs between them: SHA-256 of the compiled files, of 10⁶ normals, of two fused runs.

Without ``--torch`` the oldest version from 2.4.0 upwards that pip installs and Python imports is
taken. From PyPI it brings its CUDA libraries, about 5 GB on disk;
``--index-url https://download.pytorch.org/whl/cpu`` has builds without them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import torch

from benchmarks.claims.claim import Figure, main

ROOT = Path(__file__).parents[3]
FOLDER = Path(tempfile.gettempdir()) / f"pydiffcore-one-build-{sys.implementation.cache_tag}"
VERSIONS = ["2.4.0", "2.4.1", "2.5.0", "2.5.1", "2.6.0", "2.7.0", "2.8.0", "2.9.0", "2.10.0"]
GIGABYTES = 8


def call(*words: Any) -> str:
    """Run a command; return what it printed, or raise with what it complained about."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, cwd=FOLDER)
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip()[-500:])
    return done.stdout


def wheel() -> Path:
    """Build the project's wheel afresh."""
    for folder in ("wheel", "build"):
        shutil.rmtree(FOLDER / folder, ignore_errors=True)
    call(
        sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps",
        "--config-settings", f"build-dir={FOLDER / 'build'}", "-w", FOLDER / "wheel", ROOT,
    )  # fmt: skip
    (path,) = (FOLDER / "wheel").glob("*.whl")
    return path


def present() -> Path:
    """An environment that sees this one's packages, but not its way of installing pydiffcore."""
    python = environment("present")
    site = call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (Path(site) / "base.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def environment(name: str) -> Path:
    """The interpreter of a virtual environment, made if need be."""
    python = FOLDER / name / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not python.exists():
        venv.create(FOLDER / name, with_pip=True)
    return python


def old(version: str, index: list[str]) -> Path:
    """An environment with that torch and this NumPy; RuntimeError where there can be none."""
    if not (FOLDER / f"torch-{version}").exists():
        free = shutil.disk_usage(FOLDER).free / 1e9
        if free < GIGABYTES:
            raise RuntimeError(f"{FOLDER} has {free:.1f} GB free, {GIGABYTES} are needed")
    python = environment(f"torch-{version}")
    code = "import numpy, torch; print(torch.__version__.split('+')[0], numpy.__version__)"
    try:
        found = call(python, "-c", code).split()
    except RuntimeError:
        found = []
    if found != [version, numpy.__version__]:
        pip = [python, "-m", "pip", "install", "-q", "--no-cache-dir"]
        try:
            call(*pip, f"torch=={version}", *index)
            call(*pip, f"numpy=={numpy.__version__}")
            call(python, "-c", code)
        except RuntimeError:
            shutil.rmtree(FOLDER / f"torch-{version}")
            raise
    return python


def oldest(versions: list[str], index: list[str]) -> tuple[Path | None, list[str]]:
    """The first of the versions that can be had, and what stood against those before it."""
    reasons = []
    for version in versions:
        try:
            return old(version, index), reasons
        except RuntimeError as error:
            lines = str(error).splitlines() or ["no reason given"]
            reasons.append(f"torch {version}: {lines[-1]}")
    return None, reasons


def probe(python: Path, package: Path) -> dict[str, Any]:
    """Install the wheel there and run the script."""
    call(python, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", package)
    script = ROOT / "benchmarks" / "claims" / "one_build_probe.py"
    return dict(json.loads(call(python, "-I", script, FOLDER / "plan.json")))


def compare(new: dict[str, Any], other: dict[str, Any]) -> Iterator[Figure]:
    """Figures of what differs between two environments."""
    for what, keys in {
        "compiled files": ("module", "library"),
        "10⁶ normals": ("normals",),
        "fused runs, float32 and float64": ("run torch.float32", "run torch.float64"),
        "plans traced there": ("traced",),
    }.items():
        count = sum(new[key] != other[key] for key in keys)
        note = f"of {len(keys)}; SHA-256 {new[keys[0]][:16]}, {other[keys[0]][:16]}"
        yield Figure(f"{what}: hashes that differ", count, "<= 0", note=note)
    strays = sum(run[f"threads {n}"] != n for run in (new, other) for n in (1, 2))
    files = sorted({Path(run["openmp"]).name for run in (new, other)})
    yield Figure("thread counts that do not follow torch.set_num_threads", strays, "<= 0",
                 note=f"torch's own OpenMP runtimes: {', '.join(files)}")  # fmt: skip


def measure() -> Iterator[Figure]:
    """Build, install twice, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", metavar="VERSION", help="this version and no other")
    parser.add_argument("--index-url", metavar="URL", help="where pip finds that torch")
    given = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    index = ["--index-url", given.index_url] if given.index_url else []
    python, reasons = oldest([given.torch] if given.torch else VERSIONS, index)
    what = "torch versions that run the same compiled files"
    if python is None:
        reason = "; ".join(reasons)
        yield Figure(what, 1, ">= 2", note=f"no older torch could be installed: {reason}")
        return
    package = wheel()
    (FOLDER / "plan.json").unlink(missing_ok=True)
    new = probe(present(), package)
    other = probe(python, package)
    assert new["torch"] == torch.__version__
    both = f"{new['torch']} and {other['torch']}, NumPy {new['numpy']} and {other['numpy']}"
    yield Figure(what, len({new["torch"], other["torch"]}), ">= 2",
                 note="; ".join([both, *reasons]))  # fmt: skip
    yield from compare(new, other)
    megabytes = package.stat().st_size / 1e6
    yield Figure("size of the wheel", megabytes, "<= 15", "MB", package.name)


if __name__ == "__main__":
    main(measure)
