# SPDX-License-Identifier: Apache-2.0
"""Tests are collected where the packages that only some of them need are not installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGIN = """
from importlib.machinery import PathFinder

real = PathFinder.find_spec

def find_spec(name, path=None, target=None):
    absent = ("diffusers", "k_diffusion", "pydantic", "torchsde", "transformers")
    return None if name.split(".")[0] in absent else real(name, path, target)

PathFinder.find_spec = staticmethod(find_spec)
"""


@pytest.mark.slow
def test_collected_without_the_optional_packages(tmp_path):
    (tmp_path / "absent.py").write_text(PLUGIN)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "absent", "-m", "gpu", "--collect-only", "-q"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "diffusers is not installed" in done.stdout
    assert "test_gpu_bits" in done.stdout
