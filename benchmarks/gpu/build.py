# SPDX-License-Identifier: Apache-2.0
"""Builds pydiffcore with its CUDA kernels into the running Python, from this source tree.

Nothing is downloaded: scikit-build-core, pybind11, CMake, ninja and nvcc must be there.  The
install is editable, since ``python -m`` finds the tree's own package first, which has no compiled
module otherwise.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["COMMAND", "build"]

ROOT = Path(__file__).parents[2]
COMMAND = [
    sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "-e", ".",
    "-C", "cmake.define.PYDIFFCORE_CUDA=ON",
    # CMake does not look again for a compiler that it did not find in the usual folder before.
    "-C", "build-dir=build/cuda-{wheel_tag}",
]  # fmt: skip
ASK = "from pydiffcore.ops import native; print(*native.info()['cuda'])"


def build(command: list[str] = COMMAND) -> str:
    """Build, and return the architectures for which the module has kernels.

    Raises:
        RuntimeError: the build failed, or the module that Python now finds has no CUDA kernels.

    """
    done = subprocess.run(command, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"the build failed with status {done.returncode}: {' '.join(command)}")
    # A new process: what pip has just installed is found when Python starts.
    asked = subprocess.run([sys.executable, "-c", ASK], cwd=ROOT, capture_output=True, text=True)
    if asked.returncode:
        raise RuntimeError(f"what was built cannot be imported: {asked.stderr.strip()[-300:]}")
    if not asked.stdout.strip():
        raise RuntimeError("the module that was built has no CUDA kernels")
    return asked.stdout.strip()
