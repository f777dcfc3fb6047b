# SPDX-License-Identifier: Apache-2.0
"""The doctor reports what is there, and notices what is wrong."""

import torch

import pydiffcore
from pydiffcore.cli import doctor
from pydiffcore.ops import native, noise

MAPS = """\
7f00-7f01 r-xp 00000000 08:01 1 /venv/torch/lib/libgomp.so.1
7f01-7f02 r--p 00000000 08:01 1 /venv/torch/lib/libgomp.so.1
7f02-7f03 r-xp 00000000 08:01 2 /venv/numpy/libopenblas.so
"""
SECOND = "7f04-7f05 r-xp 00000000 08:01 3 /venv/sk.libs/libgomp-a34b3233.so.1.0.0\n"


def test_report(run):
    code, out, err = run("doctor")
    assert (code, err) == (0, "")
    for fact in (
        pydiffcore.__version__,
        torch.__version__,
        native.target(),
        f"{torch.get_num_threads()} torch",
        "OpenMP runtime",
        "PYDIFFCORE_TARGET",
        "CUDA device",
    ):
        assert fact in out
    assert out.count(" ok, ") >= 3
    assert "Heun's rows on cpu" in out
    assert "Heun's rows on cuda" in out


def test_one_runtime():
    assert list(doctor.openmp(MAPS)) == [("OpenMP runtime", "/venv/torch/lib/libgomp.so.1")]


def test_two_runtimes_are_a_warning():
    lines = dict(doctor.openmp(MAPS + SECOND))
    assert "/venv/sk.libs/libgomp-a34b3233.so.1.0.0" in lines["OpenMP runtime"]
    assert "two OpenMP runtimes" in lines["warning"]


def test_no_runtime():
    assert list(doctor.openmp("7f02 r-xp 00000000 /x/libopenblas.so\n")) == [
        ("OpenMP runtime", "none loaded")
    ]


def test_wrong_noise_fails(run, monkeypatch):
    right = noise.normal
    monkeypatch.setattr(noise, "normal", lambda *a, **k: right(*a, **k) + 1e-6)
    code, out, _ = run("doctor")
    assert code == 1
    assert out.count("FAILED") == 2


def test_wrong_rows_fail(run, monkeypatch):
    right = pydiffcore.sample

    def wrong(*args, backend, **kwargs):
        return right(*args, backend=backend, **kwargs) + (1e-6 if backend == "native" else 0)

    monkeypatch.setattr(pydiffcore, "sample", wrong)
    code, out, _ = run("doctor")
    assert code == 1
    assert "FAILED: the rows differ by up to" in out


def test_unknown_target_is_reported(run, monkeypatch):
    monkeypatch.setattr(native._core, "target", lambda: None)
    code, out, _ = run("doctor")
    assert code == 1
    assert "PYDIFFCORE_TARGET names an instruction set that cannot run" in out
