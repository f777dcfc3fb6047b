# SPDX-License-Identifier: Apache-2.0
"""The CUDA build without a device: exact instructions, no spills, a silent import."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pydiffcore.ops import native

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("ptx_checks", ROOT / "tests/cuda/ptx_checks.py")
checks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(checks)

needs_nvcc = pytest.mark.skipif(bool(checks.missing()), reason=checks.missing() or "nvcc")
needs_cuda_build = pytest.mark.skipif(
    not native.info()["cuda"], reason="this build has no CUDA kernels"
)
STEMS = [source.stem for source in checks.SOURCES]


@pytest.fixture(scope="module")
def ptx(tmp_path_factory):
    """The PTX of every source, by name."""
    folder = tmp_path_factory.mktemp("ptx")
    return {source.stem: checks.ptx(source, folder) for source in checks.SOURCES}


@needs_nvcc
@pytest.mark.parametrize("stem", STEMS)
def test_every_operation_rounds_once(ptx, stem):
    text = ptx[stem].read_text()
    found = checks.operations(text)
    assert found["mul.rn.f32"] > 100
    assert found["sqrt.rn.f32"] > 0
    assert checks.inexact(text) == []


@needs_nvcc
@pytest.mark.parametrize("stem", [stem for stem in STEMS if stem.startswith("row")])
def test_rows_move_16_bytes_at_a_time(ptx, stem):
    found = checks.operations(ptx[stem].read_text())
    assert found["ld.global.v4.u32"] > 0
    assert found["st.global.v4.u32"] > 0
    assert not [name for name in found if ".ca." in name or ".wb." in name]


@needs_nvcc
def test_halves_are_converted_by_instructions(ptx):
    found = checks.operations(ptx["row_half"].read_text())
    assert found["cvt.f32.f16"] > 0
    assert found["cvt.rn.f16.f32"] > 0


@needs_nvcc
@pytest.mark.slow
@pytest.mark.parametrize("architecture", checks.ARCHITECTURES)
def test_no_kernel_spills(ptx, architecture, tmp_path):
    kernels = 0
    for stem, file in ptx.items():
        for name, (registers, stack, spilled) in checks.resources(
            file, architecture, tmp_path
        ).items():
            assert (stack, spilled) == (0, 0), f"{name} of {stem} on sm_{architecture}"
            assert registers <= 255
            kernels += 1
    assert kernels == 54


@needs_nvcc
def test_the_checks_find_what_they_look_for(tmp_path):
    source = tmp_path / "inexact.cu"
    source.write_text(
        "__global__ void k(float* x) { x[0] = x[0] * x[1] + x[2]; x[3] = __sinf(x[4]); }\n"
    )
    text = checks.ptx(source, tmp_path, "--use_fast_math", "--fmad=true", "-ftz=true").read_text()
    found = " ".join(checks.inexact(text))
    assert "fma.rn.ftz.f32 (fused)" in found
    assert "sin.approx.ftz.f32 (approximate)" in found
    assert "(flushes subnormal numbers)" in found


@needs_nvcc
def test_flags_of_the_build_win_over_fast_math(tmp_path):
    source = ROOT / "csrc/cuda/noise.cu"
    exact = checks.ptx(source, tmp_path).read_text()
    assert checks.ptx(source, tmp_path, before=["-use_fast_math"]).read_text() == exact


@needs_cuda_build
def test_every_architecture_is_in_the_library():
    *machine, portable = native.info()["cuda"]
    assert machine == checks.ARCHITECTURES
    assert portable == f"ptx-{machine[0]}"


@needs_cuda_build
@pytest.mark.skipif(platform.system() != "Linux", reason="ldd is a Linux command")
def test_the_library_needs_no_cuda_library():
    tool = shutil.which("ldd")
    if tool is None:
        pytest.skip("no ldd on this machine")
    needed = checks.run(tool, native.info()["library"])
    assert "libgomp" in needed
    assert "cuda" not in needed


@needs_cuda_build
def test_import_without_a_device_is_silent():
    code = (
        "from pydiffcore.ops import native\n"
        "info = native.info()\n"
        "print(info['cuda_devices'], info['cuda_reason'])"
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    count, reason = done.stdout.strip().split(" ", 1)
    assert count == "0"
    assert reason.startswith("cudaError")


@pytest.mark.skipif(native.info()["cuda_devices"] > 0, reason="this machine has a CUDA device")
def test_without_a_device_calls_say_why():
    reason = native.unsupported("cuda")
    assert reason
    with pytest.raises(RuntimeError, match=reason.split(":")[0]):
        native._core.cuda_normal(0, 0, 1, 1, 0, 0, 0, (0, 0, 0), 0)
