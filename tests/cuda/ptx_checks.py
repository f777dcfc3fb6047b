# SPDX-License-Identifier: Apache-2.0
"""What a compiler alone can prove of the CUDA kernels, with the flags of the build.

    python tests/cuda/ptx_checks.py

Of the PTX: every floating-point operation rounds once, to nearest, and keeps subnormal numbers, so
that no assembler may fuse, flush or approximate. Of the machine code of each architecture: nothing
spilled, no stack. Exits with 1 where a line says FAILED.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "csrc/cuda").glob("*.cu"))
BUILD = (ROOT / "csrc/cuda/cuda.cmake").read_text()
ARCHITECTURES = re.search(r"foreach\(architecture ([\d ]+)\)", BUILD)[1].split()
FORBIDDEN = {
    "fused": r"(fma|mad)\.\S*f\d+\b",
    "may be fused": r"(mul|add|sub)\.f\d+\b",
    "flushes subnormal numbers": r"\S+\.ftz\S*",
    "approximate": r"\S+\.(approx|full)\S*|(ex2|lg2|sin|cos|rsqrt|tanh)\.\S*",
}


def missing():
    """Return why nothing can be checked here, or ""."""
    tools = [tool for tool in ("nvcc", "ptxas") if shutil.which(tool) is None]
    return f"{' and '.join(tools)} not on the PATH" if tools else ""


def flags():
    """Return the build's own compiler flags."""
    options = re.search(r'"(-O3;--fmad=false[^"]*)"', BUILD)[1]
    return [flag for flag in options.split(";") if not flag.startswith("${")]


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def ptx(source, folder, *more, before=()):
    """Compile one source to PTX of the oldest architecture, as the build does.

    ``before`` and ``more``: flags on either side of the build's own.
    """
    out = Path(folder) / f"{source.stem}.ptx"
    run("nvcc", "-std=c++17", *before, *flags(), *more, f"-arch=compute_{ARCHITECTURES[0]}",
        "-I", ROOT / "csrc/include", "-I", ROOT / "csrc/cuda", "-ptx", source,
        "-o", out)  # fmt: skip
    return out


def operations(text):
    """Count the instructions of PTX, without their predicates."""
    code = re.sub(r"//[^\n]*", "", text)
    return Counter(re.findall(r"^\s+(?:@!?%\w+\s+)?([a-z]\w*(?:\.\w+)+)\s", code, re.M))


def inexact(text):
    """Return the instructions of PTX that could give other bits than the CPU, with the reason."""
    return [
        f"{name} ({reason})"
        for name in operations(text)
        for reason, pattern in FORBIDDEN.items()
        if re.fullmatch(pattern, name)
    ]


def resources(ptx_file, architecture, folder):
    """Assemble PTX; return {kernel: (registers, stack bytes, spilled bytes)}."""
    cubin = Path(folder) / f"{Path(ptx_file).stem}.{architecture}.cubin"
    log = run("ptxas", "-v", f"-arch=sm_{architecture}", ptx_file, "-o", cubin)
    found = re.findall(
        r"Function properties for (\S+)\s+(\d+) bytes stack frame, (\d+) bytes spill stores, "
        r"(\d+) bytes spill loads\s+ptxas info\s+: Used (\d+) registers", log
    )  # fmt: skip
    entries = len(re.findall(r"Compiling entry function", log))
    if entries == 0 or entries != len(found):
        raise RuntimeError(f"ptxas reported {entries} kernels, {len(found)} understood:\n{log}")
    return {
        name: (int(used), int(stack), int(stores) + int(loads))
        for name, stack, stores, loads, used in found
    }


def report_ptx(files):
    """Print what each PTX file holds; return whether all is exact."""
    exact = True
    for file in files:
        text = file.read_text()
        bad = ", ".join(inexact(text))
        exact &= not bad
        total = sum(operations(text).values())
        print(f"{file.name:16} {total:6} instructions  {'FAILED: ' + bad if bad else 'exact'}")
    return exact


def report_machine_code(files, folder):
    """Print what the kernels take on each architecture; return whether all stay in registers."""
    good = True
    for architecture in ARCHITECTURES:
        kernels = {}
        for file in files:
            kernels |= resources(file, architecture, folder)
        most, stack, spilled = (max(column) for column in zip(*kernels.values(), strict=True))
        good &= stack == spilled == 0
        print(
            f"sm_{architecture:4} {len(kernels)} kernels  at most {most} registers, {stack} bytes "
            f"of stack, {spilled} spilled  {'FAILED' if stack or spilled else 'ok'}"
        )
    return good


def main():
    reason = missing()
    if reason:
        print(f"nothing checked: {reason}")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        files = [ptx(source, folder) for source in SOURCES]
        exact = report_ptx(files)
        return 0 if report_machine_code(files, folder) and exact else 1


if __name__ == "__main__":
    sys.exit(main())
