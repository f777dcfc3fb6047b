# SPDX-License-Identifier: Apache-2.0
"""Several processes draw what one draws."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from pydiffcore import levels, prediction, samplers, trace
from pydiffcore.cli.draw import Drawing, conditioned
from pydiffcore.cli.share import places
from pydiffcore.cli.source import Source
from pydiffcore.denoiser import Denoiser


@pytest.mark.parametrize(
    ("samples", "batch", "count"), [(9, 2, 3), (1, 4, 3), (8, 8, 2), (7, 1, 2)]
)
def test_each_sample_has_one_rank_and_its_batch(samples, batch, count):
    shares = [places(samples, batch, rank, count) for rank in range(count)]
    assert sorted(place for share in shares for place in share) == list(range(samples))
    for share in shares:
        batches = [share[at : at + batch] for at in range(0, len(share), batch)]
        for each in batches:
            assert each[0] % batch == 0
            assert each == list(range(each[0], min(each[0] + batch, samples)))


def test_three_processes_write_what_one_writes(run, checkpoint, tmp_path):
    words = ["sample", str(checkpoint), "--seeds", "0-8", "--batch", "2", "--steps", "3",
             "--sampler", "ancestral", "--guidance", "1.5"]  # fmt: skip
    assert run(*words, "--out", tmp_path / "one.npz")[0] == 0
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3",
         "-m", "pydiffcore", *words, "--out", str(tmp_path / "three.npz")],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("three.npz") == 1
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "three.npz") as three:
        for name in ("samples", "seeds", "classes"):
            assert np.array_equal(one[name], three[name])


def test_classes_keep_what_a_model_is():
    def network(x, c_noise, class_labels):
        return torch.cat([x, x], 1)

    model = Denoiser(network, prediction.edm(), {"other": 1}, learned_variance=True)
    plan = trace(samplers.ddpm, levels.karras(3), prediction.edm(), variance="learned_range")
    drawing = Drawing(
        network={}, plan_hash=plan.hash, shape=(1, 2, 2), seeds=(0, 1), batch=2, classes=(0, 1),
        guidance=None, interval=None, dtype="float32", io_dtype="float32", device="cpu",
        backend="auto", made_with={},
    )  # fmt: skip
    own = conditioned(drawing, plan, Source(model, (1, 2, 2), 2, {}))
    assert own.learned_variance
    assert own.prediction == model.prediction
    assert set(own.condition) == {"other", "class_labels"}
