# SPDX-License-Identifier: Apache-2.0
"""``pydiffcore doctor``: what is installed, what is in use, and one verified kernel per backend."""

from __future__ import annotations

import argparse
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["add_parser"]

Line = tuple[str, str]

# Elements 0 to 3 of normal(seed 0, purpose 0, stream 0), as float32 bits; part of the format.
KNOWN_NORMALS = (0x3F7DBB33, 0xBF6CB6AF, 0xBF1E1B9F, 0xBEF6D1B2)
OPENMP = re.compile(r"\S*/lib(?:gomp|omp|iomp5)[-.\w]*\.(?:so|dylib)[.\w]*$")


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="show versions, targets and threads, and verify the kernels",
        description="Show what is installed and in use, and run one verified kernel call on each "
        "backend. The exit code is 1 where a check fails.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 where a check failed."""
    for name, text in [*versions(), *native_build(), *openmp()]:
        print(f"{name:<20} {text}")
    print()
    passed = True
    for name, outcome in checks():
        passed &= not outcome.startswith("FAILED")
        print(f"{name:<44} {outcome}")
    return 0 if passed else 1


def versions() -> Iterator[Line]:
    """Yield versions of everything that takes part."""
    import numpy
    import torch

    import pydiffcore

    yield "pydiffcore", f"{pydiffcore.__version__} in {Path(pydiffcore.__file__).parent}"
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    yield "torch", torch.__version__
    yield "numpy", numpy.__version__
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield "CUDA device", f"{', '.join(names)} (torch's CUDA {torch.version.cuda})"
    else:
        build = f"torch's CUDA {torch.version.cuda}" if torch.version.cuda else "a torch without it"
        yield "CUDA device", f"none ({build})"


def native_build() -> Iterator[Line]:
    """Yield what the compiled module says about itself."""
    import torch

    from pydiffcore.ops import native

    forced = os.environ.get("PYDIFFCORE_TARGET")
    yield "PYDIFFCORE_TARGET", forced or "not set"
    try:
        info = native.info()
    except RuntimeError as error:
        yield "instruction set", str(error)
        return
    yield "native core", f"{info['version']} in {info['library']}"
    yield "instruction set", f"{info['target']} (compiled in: {', '.join(info['targets'])})"
    yield "CUDA kernels", "compiled in" if info["cuda"] else "not compiled in"
    yield (
        "threads",
        f"{info['threads']} native, {torch.get_num_threads()} torch, {os.cpu_count()} processors",
    )


def openmp(maps: str | None = None) -> Iterator[Line]:
    """Yield the OpenMP runtimes that this process has loaded, with a warning where there are two.

    Args:
        maps: the text of /proc/self/maps; read from there where it is None.

    """
    if maps is None:
        source = Path("/proc/self/maps")
        if not source.exists():
            yield "OpenMP runtime", "unknown: this system has no /proc/self/maps"
            return
        maps = source.read_text()
    found = sorted({match.group() for line in maps.splitlines() if (match := OPENMP.search(line))})
    yield "OpenMP runtime", ", ".join(found) or "none loaded"
    if len(found) > 1:
        yield "warning", "two OpenMP runtimes in one process: their thread pools compete"


def checks() -> Iterator[Line]:
    """Yield a name and an outcome per verified kernel call."""
    from pydiffcore.ops import native

    yield "noise on cpu, against known bits", outcome(check_known_normals)
    yield "noise on cpu, against NumPy", outcome(check_normals)
    for device in ("cpu", "cuda"):
        reason = native.unsupported(device, registers=2)
        name = f"Heun's rows on {device}, against torch's"
        if not reason and device == "cuda":
            import torch

            reason = "" if torch.cuda.is_available() else "there is no CUDA device"
        yield name, f"not run: {reason}" if reason else outcome(lambda d=device: check_rows(d))


def outcome(check: Any) -> str:
    """Run a check and say how it ended."""
    try:
        return f"ok, {check()}"
    except (AssertionError, RuntimeError, ValueError) as error:
        return f"FAILED: {' '.join(str(error).split())}"


def check_known_normals() -> str:
    """Four normals have the bits that the format fixes."""
    import numpy as np

    from pydiffcore.ops.noise import normal

    bits = normal([0], (4,), purpose=0).numpy().view(np.uint32)[0].tolist()
    if bits != list(KNOWN_NORMALS):
        raise AssertionError(f"bits are {bits}, expected {list(KNOWN_NORMALS)}")
    return "4 normals"


def check_normals() -> str:
    """The kernel's normals are those of the NumPy reference, to the bit."""
    import numpy as np

    from pydiffcore.ops.noise import SAMPLER, normal, reference_normal

    seeds, size = [0, 1, 2**64 - 1], 1003
    ours = normal(seeds, (size,), purpose=SAMPLER, stream=5).numpy()
    expected = reference_normal(seeds, size, purpose=SAMPLER, stream=5)
    different = int((ours.view(np.uint32) != expected.view(np.uint32)).sum())
    if different:
        raise AssertionError(f"{different} of {ours.size} normals differ")
    return f"{ours.size} normals, every bit"


def check_rows(device: str) -> str:
    """A churned Heun plan gives the same bits through the kernel and through torch operations."""
    import torch

    import pydiffcore

    levels = pydiffcore.levels.karras(4, sigma_max=10.0)
    plan = pydiffcore.trace(pydiffcore.samplers.heun, levels, churn=2.0)

    def run(backend: str) -> torch.Tensor:
        return pydiffcore.sample(
            lambda x, sigma: 0.5 * x, plan, shape=(3, 37), seeds=range(5), device=device,
            backend=backend,
        ).cpu()  # fmt: skip

    ours, expected = run("native"), run("reference")
    if not torch.equal(ours, expected):
        worst = float((ours - expected).abs().max())
        raise AssertionError(f"the rows differ by up to {worst:.3g}")
    return f"{plan.nfe + 1} rows of {ours.numel()} elements, every bit"
