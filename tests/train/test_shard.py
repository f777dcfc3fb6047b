# SPDX-License-Identifier: Apache-2.0
"""Trainings whose weights lie in parts on several processes do what one process does."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("pydantic")
pytest.importorskip("sklearn")

from trainings import AVERAGED, started, tiny, weights

import pydiffcore
from pydiffcore.data import open_source
from pydiffcore.networks import NETWORKS
from pydiffcore.train import run as runs
from pydiffcore.train.model import load_model
from pydiffcore.train.native import native_plan
from pydiffcore.train.shard import blocks
from pydiffcore.train.trainer import Trainer

WORKER = Path(__file__).with_name("shard_worker.py")


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("ranks", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_shards_train_what_one_process_does_and_go_on_from_each_other(ranks, tmp_path):
    digits = open_source("digits")
    runs.run(tiny("edm2", **AVERAGED, **{"run.images": 48}), digits, tmp_path / "up")
    said, _ = (worker := started(WORKER, tmp_path, ranks=ranks)).communicate(timeout=300)
    assert worker.returncode == 0, said
    echoed = []
    ends = {
        name: runs.run(
            tiny("edm2", **AVERAGED), digits, tmp_path / name, echo=echoed.append
        ).trainer
        for name in ("down", "up", "alone")
    }
    last = "nothing to do: step 8 was the last of run.images = 96"
    assert echoed == ["going on after step 4", last]
    wanted = weights(ends["alone"])
    for name in ("down", "up"):
        assert losses(tmp_path / name) == pytest.approx(losses(tmp_path / "alone"), rel=1e-5)
        assert weights(ends[name]).keys() == wanted.keys()
        for which, tensor in weights(ends[name]).items():
            torch.testing.assert_close(tensor, wanted[which], rtol=1e-4, atol=1e-5, msg=which)
    model = load_model(tmp_path / "down/model")
    cell = ends["alone"].cell
    x0 = pydiffcore.sample(
        model.denoiser(torch.arange(3)), native_plan(cell, 4), shape=model.shape, seeds=range(3)
    )
    for rank in range(ranks):  # all ranks called the average's parts together
        torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / f"{rank}.npy")), x0)
    assert (tmp_path / "down/snapshots/step-00000004-a.safetensors").exists()


def test_one_process_alone_has_nothing_to_shard_over():
    with pytest.raises(ValueError, match="shard is true, but there is one process: expected false"):
        Trainer(tiny(**{"run.shard": "true"}), (1, 8, 8), 10)


def test_a_loss_scale_of_each_rank_is_refused():
    with pytest.raises(ValueError, match=r"shard is true, but with optimiser\.precision 'float16'"):
        tiny(**{"run.shard": "true", "optimiser.precision": "float16"})


def test_blocks_are_members_of_lists_that_are_large_enough():
    with torch.device("meta"):
        nested, plain = NETWORKS["unet1d"](actions=2), NETWORKS["dit"](channels=4)
    assert blocks(plain) == list(plain.blocks)
    assert not any(isinstance(each, torch.nn.ModuleList) for each in blocks(nested))
    whole = sum(each.numel() for each in nested.parameters())
    own = [sum(p.numel() for p in each.parameters()) for each in blocks(nested)]
    assert min(own) >= whole / 100
    assert sum(own) > 0.9 * whole
