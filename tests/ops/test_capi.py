# SPDX-License-Identifier: Apache-2.0
"""The core without Python: headers, the C library, and the objects of the CPU targets."""

import ctypes
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from pydiffcore.ops import native
from pydiffcore.ops.noise import normal

ROOT = Path(__file__).parents[2]
CXX = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
CC = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")

pytestmark = pytest.mark.skipif(not (CXX and CC), reason="no C and C++ compiler on this machine")

X86 = {
    "baseline": [],
    "avx2": ["-mavx2", "-mf16c"],
    "avx512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mf16c"],
}


def run(*command, **options):
    return subprocess.run(
        [str(part) for part in command], check=True, capture_output=True, text=True, **options
    ).stdout


def test_headers_give_the_known_answers(tmp_path):
    binary = tmp_path / "known_answers"
    run(CXX, "-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror",
        "-I", ROOT / "csrc/include", ROOT / "tests/known_answers.cpp", "-o", binary)  # fmt: skip
    data = ROOT / "tests/data"
    assert run(binary, data / "philox.txt", data / "normals.txt") == "3 blocks, 64 normals\n"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are those of x86-64")
@pytest.mark.parametrize("target", X86)
def test_tiles_give_the_normals_of_each_element(target, tmp_path):
    """Also where the counters of a tile carry into their second word, after 2^34 elements."""
    order = [*X86]
    if order.index(target) > order.index(native.target()):
        pytest.skip(f"this machine's vectors are {native.target()}'s")
    binary = tmp_path / "noise_tile"
    run(CXX, "-std=c++17", "-O2", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra",
        "-Wno-unused-function", "-Wno-maybe-uninitialized", f"-DPDC_TARGET={target}", *X86[target],
        "-I", ROOT / "csrc/include", "-I", ROOT / "csrc/cpu", ROOT / "tests/noise_tile.cpp",
        "-o", binary)  # fmt: skip
    assert run(binary) == "15172\n"


def test_a_c_program_draws_the_same_normals(tmp_path):
    library = Path(native.info()["library"])
    binary = tmp_path / "normals"
    run(CC, "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", ROOT / "examples/c/normals.c",
        "-I", ROOT / "csrc/include", library, f"-Wl,-rpath,{library.parent}",
        "-o", binary)  # fmt: skip
    head, *lines = run(binary).splitlines()
    assert head == f"pydiffcore {native.info()['version']} on {native.target()}"
    drawn = [float(line.split()[-1]) for line in lines]
    expected = normal([0, 1], (6,), purpose=0).flatten().tolist()
    assert drawn == pytest.approx(expected, rel=1e-8)


def test_fast_math_is_refused(tmp_path):
    source = tmp_path / "fast.cpp"
    source.write_text('#define PDC_TARGET fast\n#include "pydiffcore/normal.h"\n')
    command = [CXX, "-std=c++17", "-ffast-math", "-I", ROOT / "csrc/include", "-c", source,
               "-o", tmp_path / "fast.o"]  # fmt: skip
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "fast-math changes the bits" in result.stderr


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are those of x86-64")
@pytest.mark.skipif(not shutil.which("nm"), reason="no nm on this machine")
@pytest.mark.parametrize("target", X86)
def test_objects_of_a_target_hold_no_weak_symbol(target, tmp_path):
    """The linker keeps one copy of a weak function, perhaps one an older machine cannot run."""
    made = tmp_path / "target.o"
    run(CXX, "-std=c++17", "-O0", "-fno-exceptions", "-ffp-contract=off", "-fno-math-errno",
        "-fPIC", *X86[target], "-I", ROOT / "csrc/include",
        "-c", ROOT / f"csrc/cpu/{target}.cpp", "-o", made)  # fmt: skip
    kinds = [line.split()[-2:] for line in run("nm", made).splitlines()]
    assert not [name for kind, name in kinds if kind in "WwVvu"]
    outside = {name for kind, name in kinds if kind == "U"}
    allowed = {"memcpy", "memset", "memmove", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
    assert outside <= allowed


def test_the_library_needs_neither_torch_nor_python():
    needed = run("readelf", "-d", native.info()["library"])
    assert "libgomp" in needed
    for unwanted in ("torch", "python", "c10"):
        assert unwanted not in needed


def test_the_c_interface_refuses_what_is_out_of_range():
    library = ctypes.CDLL(native.info()["library"])
    out, seeds = (ctypes.c_float * 4)(), (ctypes.c_uint64 * 1)()
    size = ctypes.c_int64
    for dtype, samples, length in ((4, 1, 4), (-1, 1, 4), (9, 1, 4), (0, -1, 4), (0, 1, -4)):
        assert library.pdc_normal(out, dtype, size(samples), size(length), seeds, 0, 0) == 4
    assert library.pdc_normal(out, 0, size(1), size(4), seeds, 0, 0) == 0
