# SPDX-License-Identifier: Apache-2.0
"""Every kernel of the C interface writes the same bits on every processor that is built for.

tests/data/digests.txt holds them.  A change of noise format or of a kernel's arithmetic changes it,
and with it what people's seeds draw.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pydiffcore.ops import native

ROOT = Path(__file__).parents[2]
EXPECTED = (ROOT / "tests/data/digests.txt").read_text()
CXX = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
CROSS = ("aarch64-linux-gnu-g++", "qemu-aarch64", "cmake")


@pytest.fixture(scope="module")
def battery(tmp_path_factory):
    if not CXX:
        pytest.skip("no C++ compiler on this machine")
    library, binary = Path(native.info()["library"]), tmp_path_factory.mktemp("battery") / "battery"
    command = [CXX, "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "csrc/include",
               ROOT / "tests/capi_battery.cpp", library, f"-Wl,-rpath,{library.parent}",
               "-o", binary]  # fmt: skip
    subprocess.run([str(part) for part in command], check=True)
    return binary


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("target", native.info()["targets"])
def test_bits_of_this_processor(battery, target, threads):
    env = {**os.environ, "PYDIFFCORE_TARGET": target, "OMP_NUM_THREADS": threads}
    printed = subprocess.run([battery], env=env, capture_output=True, text=True).stdout
    if printed.startswith("(null)"):
        pytest.skip(f"this processor cannot run {target}")
    assert printed == f"{target}\n{EXPECTED}"


@pytest.mark.slow
def test_bits_of_arm():
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    missing = [name for name in CROSS if not shutil.which(name, path=path)]
    if missing:
        pytest.skip(f"{', '.join(missing)} are not installed: see tests/arm.sh")
    done = subprocess.run(["bash", ROOT / "tests/arm.sh"], env={**os.environ, "PATH": path},
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"neon\n{EXPECTED}baseline\n{EXPECTED}"
