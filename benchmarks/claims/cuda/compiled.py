# SPDX-License-Identifier: Apache-2.0
"""What a machine without a GPU proves of the CUDA side.

The kernels compile for every architecture. Of their PTX: each floating-point operation rounds once,
to nearest, and none is fused, approximate or flushes subnormal numbers. Of the machine code:
nothing spilled, no stack (tests/cuda/ptx_checks.py, with the flags of the build). Their body, run
on the processor over blocks and threads, leaves the bits of the CPU kernels, and a captured loop
over it those of the eager one, with one recording for all seeds, levels, weights and conditions
(tests/ops/test_cuda_host.py, tests/test_capture*.py). The module imports without a driver.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from benchmarks.claims import pytests
from benchmarks.claims.claim import Figure, main
from pydiffcore.ops import native

ROOT = Path(__file__).parents[3]


def ptx_checks() -> ModuleType:
    """The module of tests/cuda."""
    path = ROOT / "tests/cuda/ptx_checks.py"
    spec = importlib.util.spec_from_file_location("ptx_checks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiled() -> Iterator[Figure]:
    """PTX and machine code of every kernel and architecture."""
    checks = ptx_checks()
    reason = checks.missing()
    if reason:
        yield Figure("compilers found: the kernels are not checked", 0, ">= 1", note=reason)
        return
    with tempfile.TemporaryDirectory() as folder:
        files = [checks.ptx(source, folder) for source in checks.SOURCES]
        texts = [file.read_text() for file in files]
        instructions = sum(sum(checks.operations(text).values()) for text in texts)
        inexact = [name for text in texts for name in checks.inexact(text)]
        note = f"of {instructions}" + "".join(f"; {name}" for name in inexact[:3])
        yield Figure(
            "instructions that fuse, flush or approximate", len(inexact), "<= 0", note=note
        )
        for architecture in checks.ARCHITECTURES:
            kernels = {}
            for file in files:
                kernels |= checks.resources(file, architecture, folder)
            registers, stack, spilled = (max(each) for each in zip(*kernels.values(), strict=True))
            note = f"{len(kernels)} kernels, at most {registers} registers, {stack} bytes of stack"
            yield Figure(f"sm_{architecture}: bytes of stack and spills", stack + spilled, "<= 0",
                         note=note)  # fmt: skip
    *machine, portable = native.info()["cuda"] or ["none"]
    missing = len(set(checks.ARCHITECTURES) - set(machine))
    yield Figure("architectures missing from the installed library", missing, "<= 0",
                 note=f"{' '.join(machine)} {portable}")  # fmt: skip


def on_the_host() -> Iterator[Figure]:
    """The kernels' body and the captured loop over memory of the host."""
    captured = sorted(map(str, (ROOT / "tests").glob("test_capture*.py")))
    for what, paths in (("CUDA bodies against the CPU kernels", ["tests/ops/test_cuda_host.py"]),
                        ("captured loops against eager ones", captured)):  # fmt: skip
        done = pytests.run(paths, "-m", "not gpu")
        yield Figure(f"{what}: tests that do not pass", len(done.bad), "<= 0", note=done.note)


def imports() -> Iterator[Figure]:
    """An import where no device is visible."""
    code = (
        "import pydiffcore; from pydiffcore.ops import native; print(native.info()['cuda_reason'])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    words = len(done.stderr.split())
    yield Figure("words that an import without a device writes as errors", words, "<= 0",
                 note=done.stdout.strip()[-100:])  # fmt: skip
    yield Figure("exit status of that import", done.returncode, "<= 0")


def measure() -> Iterator[Figure]:
    yield from compiled()
    yield from on_the_host()
    yield from imports()


if __name__ == "__main__":
    main(measure)
