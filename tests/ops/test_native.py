# SPDX-License-Identifier: Apache-2.0
"""The native core: the same bits on every target and number of threads, and after a fork."""

import os
import subprocess
import sys
from pathlib import Path

import native_battery as battery
import pytest
import torch

from pydiffcore.ops import native

PYTHON = [sys.executable, *(["-S"] if sys.flags.no_site else [])]


def run_battery(*arguments, target=""):
    environment = {**os.environ, "PYDIFFCORE_TARGET": target}
    return subprocess.run(
        [*PYTHON, str(Path(battery.__file__)), *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def digest():
    return battery.digest()


@pytest.mark.parametrize("target", native.info()["targets"])
def test_every_target_gives_the_same_bits(target, digest):
    result = run_battery(target=target)
    if result.returncode and "cannot run on this machine" in result.stderr:
        pytest.skip(f"this machine has no {target}")
    assert result.stdout.split() == [target, digest], result.stderr


@pytest.mark.parametrize("threads", ["1", "2"])
def test_flush_to_zero_and_threads_change_no_bit(threads, digest):
    result = run_battery(threads, "flush")
    if "cannot flush" in result.stderr:
        pytest.skip("this machine cannot flush subnormals to zero")
    assert result.stdout.split()[1:] == [digest], result.stderr


def test_an_unknown_target_is_an_error():
    result = run_battery(target="mmx")
    assert result.returncode == 1
    assert "PYDIFFCORE_TARGET names an instruction set" in result.stderr


FORK = """
import os, signal, sys, numpy as np, torch
from pydiffcore.ops import native
torch.set_num_threads(2)
def noise():
    out = torch.empty(64, 12288)
    native.normal(out, np.arange(64, dtype=np.uint64), 1, 0)
threads = native.info()["threads"]
if sys.argv[1] == "torch":
    torch.ones(1 << 22).add_(1)
else:
    noise()
child = os.fork()
if child == 0:
    signal.alarm(50)  # no orphan waits forever
    noise()
    os._exit(0 if native.info()["threads"] == 1 else 3)
_, status = os.waitpid(child, 0)
assert threads == 2, threads
noise()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("region", ["torch", "ours"])
def test_fork_after_a_parallel_run_computes_on_one_thread(region):
    result = subprocess.run([*PYTHON, "-c", FORK, region], timeout=60, check=False)
    assert result.returncode == 0


def test_info_names_torch_s_own_openmp():
    info = native.info()
    assert info["target"] in info["targets"]
    assert info["threads"] == torch.get_num_threads()
    assert "gomp" in info["openmp"]
    assert Path(info["library"]).is_file()
    beside_torch = Path(torch.__file__).parents[1]
    assert Path(info["openmp"]).resolve().is_relative_to(beside_torch.resolve())
    assert "torch" in info["openmp"]  # other packages there bring a libgomp of their own
