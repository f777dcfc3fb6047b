# SPDX-License-Identifier: Apache-2.0
"""Compiled networks and channels last: the same training, the same names on disk."""

from functools import partial

import pytest
import torch

pytest.importorskip("safetensors")
pytest.importorskip("pydantic")
pytest.importorskip("sklearn")

from trainings import tiny, weights

from pydiffcore.data import open_source
from pydiffcore.train import load_model, storage
from pydiffcore.train import run as runs
from pydiffcore.train.config import configured
from pydiffcore.train.model import save_trained
from pydiffcore.train.trainer import Trainer

SWITCHES = [{"run.compile": "true"}, {"run.channels_last": "true"},
            {"run.compile": "true", "run.channels_last": "true"}]  # fmt: skip
SHORT = {"run.images": 48, "optimiser.eps": 1e-5}


@pytest.fixture(autouse=True)
def _eager(one_thread, monkeypatch):
    """Dynamo's graphs without a C++ compiler's minutes."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    torch._dynamo.reset()


def trained(folder, preset="edm", **changes):
    return runs.run(tiny(preset, **{**SHORT, **changes}), open_source("digits"), folder).trainer


def alike(first, second):
    first, second = weights(first), weights(second)
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("preset", ["edm", "flow"])
def test_a_training_is_the_same_but_for_rounding(tmp_path, preset, switch):
    alike(trained(tmp_path / "a", preset), trained(tmp_path / "b", preset, **switch))


@pytest.mark.parametrize("switch", SWITCHES[::2])
def test_checkpoints_go_from_one_setting_to_the_other(tmp_path, switch):
    """Half of it with the switch, half without, and the reverse, end where neither does."""
    plain = trained(tmp_path / "plain")
    for name, first, second in (("to", {}, switch), ("fro", switch, {})):
        trained(tmp_path / name, **{**first, "run.images": 24})
        end = trained(tmp_path / name, **second)
        assert end.step == 4
        alike(plain, end)
    assert not any("_orig_mod" in name for name in weights(end))
    save_trained(tmp_path / "fro" / "model", end)
    load_model(tmp_path / "fro")


def test_weights_images_and_moments_have_their_channels_last(tmp_path):
    trainer = trained(tmp_path, **{"run.channels_last": "true"})
    kernels = [p for p in trainer.network.parameters() if p.ndim == 4 and p.shape[-1] == 3]
    last = partial(torch.Tensor.is_contiguous, memory_format=torch.channels_last)
    assert kernels
    assert all(map(last, kernels))
    assert all(last(trainer.optimiser.state[p]["exp_avg"]) for p in kernels)
    seen = []
    trainer.network.enter.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    again = Trainer(trainer.config, (1, 8, 8), 10)
    storage.resumed(tmp_path, again)
    kernels = [p for p in again.network.parameters() if p.ndim == 4 and p.shape[-1] == 3]
    assert all(map(last, kernels))
    trainer.advance(next(iter(runs._loader(trainer, open_source("digits")))))
    assert all(map(last, seen))
    assert seen


def test_the_network_is_compiled(tmp_path):
    torch._dynamo.utils.counters.clear()
    trained(tmp_path, **{"run.compile": "true"})
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["run.compile=true", "run.shard=true"], "run.compile is true, but so is run.shard"),
        (["run.channels_last=true", "run.shard=true"], "run.channels_last is true, but so is"),
        (["run.channels_last=true", "network.name=mlp"], "mlp takes no images; expected false"),
        (["run.compile=maybe"], "run.compile is 'maybe'"),
    ],
)
def test_refusals(overrides, words):
    with pytest.raises(ValueError, match=words):
        configured(overrides=overrides)
