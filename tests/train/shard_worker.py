# SPDX-License-Identifier: Apache-2.0
"""Trainings in shards, one process of several: python shard_worker.py FOLDER."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from trainings import AVERAGED, tiny, weights

import pydiffcore
from pydiffcore.data import Loader, open_source
from pydiffcore.train import ranks
from pydiffcore.train.model import save_trained
from pydiffcore.train.native import native_plan
from pydiffcore.train.ranks import Ranks
from pydiffcore.train.run import run
from pydiffcore.train.shard import local, whole
from pydiffcore.train.trainer import Trainer

CASES = {
    "edm2": {"optimiser.accumulate": 2},  # a head, weights that are normalised, some without axes
    "iddpm": {"importance": "true"},
    "ncsn": {},  # ModuleLists in ModuleLists
}


def trained(preset, changes, here, source, steps=3, shard="true"):
    """Return the trainer, its reports, and what the network was given."""
    changes = AVERAGED | changes | {"run.shard": shard}
    trainer = Trainer(tiny(preset, **changes), source.shape, source.classes, here)
    given = []
    trainer.network.register_forward_pre_hook(lambda _, args: given.append(args[0].clone()))
    with Loader(source, batch=12, workers=0, rank=here.rank, ranks=here.count) as loader:
        reports = [trainer.advance(next(loader)) for _ in range(steps)]
    return trainer, reports, given


def alike(here, source):
    """Losses, norms, weights, moments and averages are those of one process; noise to the bit."""
    for preset, changes in CASES.items():
        alone, wanted, inputs = trained(preset, changes, Ranks(), source, shard="false")
        ours, found, part = trained(preset, changes, here, source)
        for one, many in zip(wanted, found, strict=True):
            assert many.loss == pytest.approx(one.loss, rel=1e-5)
            assert many.norm == pytest.approx(one.norm, rel=1e-4)
        given = here.gathered(torch.cat(part).contiguous())
        by_step = given.view(here.count, 3, 12 // here.count, *source.shape).transpose(0, 1)
        if "optimiser.accumulate" not in changes:  # its parts are of other samples of the batch
            assert torch.equal(by_step.reshape(-1, *source.shape), torch.cat(inputs))
        near(ours, alone)


def near(ours, other):
    """All that is kept is near another training's."""
    gathered, wanted = whole(weights(ours), ours.ranks), weights(other)
    if ours.ranks.first:
        assert gathered.keys() == wanted.keys()
        for name, tensor in gathered.items():
            torch.testing.assert_close(tensor, wanted[name], rtol=1e-4, atol=1e-5, msg=name)


def halved(here, source):
    """In bfloat16 a step of shards is one of copies, whose parts of a batch are rounded alike.

    Later steps round other bits: a weight that is one bit off falls to the other side.
    """
    changes = {"optimiser.precision": "bfloat16", "optimiser.accumulate": 2}
    copies, (wanted,), _ = trained("edm", changes, here, source, steps=1, shard="false")
    shards, (found,), _ = trained("edm", changes, here, source, steps=1)
    assert (found.loss, found.norm) == pytest.approx((wanted.loss, wanted.norm), rel=1e-6)
    near(shards, copies)


def in_parts(here, source):
    """No rank holds more of a weight, a moment or an average than its part."""
    trainer, _, _ = trained("edm2", {}, here, source, steps=1)
    for name, tensor in weights(trainer).items():
        if tensor.ndim and "fourier" not in name:  # buffers are no weights
            assert local(tensor).shape[0] <= -(-tensor.shape[0] // here.count), name


def reduced_once(here, source):
    """Gradients come to the parts with the last part of a batch, not with each."""
    trainer, _, _ = trained("edm2", {"optimiser.accumulate": 2}, here, source, steps=0)
    inner, there = trainer._descend, []

    def watched(terms, size):
        inner(terms, size)
        there.append(trainer.network.enter.weight.grad is not None)

    trainer._descend = watched
    with Loader(source, batch=12, workers=0, rank=here.rank, ranks=here.count) as loader:
        trainer.advance(next(loader))
    assert there == [False, True]


def skipped(here, source):
    """A gradient that is not finite on one rank alone changes nothing on any."""
    trainer, _, _ = trained("edm2", {}, here, source, steps=2)
    inner, before = trainer._backward, whole(weights(trainer), here)

    def spoiled(batch):
        out = inner(batch)
        if here.rank == here.count - 1:
            local(trainer.network.enter.weight.grad).fill_(torch.inf)
        return out

    trainer._backward = spoiled
    with Loader(source, batch=12, position=24, workers=0, rank=here.rank,
                ranks=here.count) as loader:  # fmt: skip
        assert trainer.advance(next(loader)).skipped
    after = whole(weights(trainer), here)
    assert all(torch.equal(after[name], before[name]) for name in before)


def resumed(here, source, folder):
    """Begin a training in shards, and end one that began in one process."""
    began = run(tiny("edm2", **AVERAGED, **{"run.shard": "true", "run.images": 48}), source,
                folder / "down", here)  # fmt: skip
    save_trained(folder / "down/model", began.trainer)
    average, cell = began.trainer.averages["a"], began.trainer.cell
    model = pydiffcore.Denoiser(average, cell.prediction, {"class_labels": torch.arange(3)})
    x0 = pydiffcore.sample(model, native_plan(cell, 4), shape=source.shape, seeds=range(3))
    np.save(folder / f"{here.rank}.npy", x0.numpy())
    said = []
    run(tiny("edm2", **AVERAGED, **{"run.shard": "true"}), source, folder / "up", here,
        echo=said.append)  # fmt: skip
    assert said == (["going on after step 4"] if here.first else [])


if __name__ == "__main__":
    torch.set_num_threads(1)
    digits = open_source("digits")
    with ranks.started("cpu", timeout=60) as here:
        alike(here, digits)
        halved(here, digits)
        in_parts(here, digits)
        reduced_once(here, digits)
        skipped(here, digits)
        resumed(here, digits, Path(sys.argv[1]))
