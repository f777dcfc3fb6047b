# SPDX-License-Identifier: Apache-2.0
"""Which weights a name means: a model's, or an average in a checkpoint of a training."""

import pytest
import torch

pytest.importorskip("safetensors")
pytest.importorskip("pydantic")
pytest.importorskip("sklearn")

from trainings import tiny, weights

from pydiffcore.data import open_source
from pydiffcore.train import load_model
from pydiffcore.train import run as runs
from pydiffcore.train.config import configured
from pydiffcore.train.model import save_trained
from pydiffcore.train.presets import PRESETS
from pydiffcore.train.stored import cell_of, steps_of, stored

AVERAGES = '{slow={kind="fixed", decay=0.99}, fast={kind="fixed", decay=0.1}}'


@pytest.fixture(scope="module", autouse=True)
def _tiny(one_thread):
    """Everything here is tiny."""


@pytest.fixture
def trained(tmp_path):
    """The folder of a training with two checkpoints and no model, and its trainer."""
    config = tiny("flow", averages=AVERAGES, **{"run.images": 48, "run.save_every": 2})
    out = runs.run(config, open_source("digits"), tmp_path / "run")
    return tmp_path / "run", out.trainer


def same(model, state):
    own = model.network.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[k], state[k]) for k in own)


def test_a_training_without_a_model_gives_its_newest_checkpoint(trained):
    folder, trainer = trained
    held = stored(folder)
    assert held.path == folder / "checkpoints" / "step-00000004"
    assert held.note == f"{folder} holds no model yet; average 'slow' after step 4"
    model = load_model(folder)
    assert same(model, trainer.averages["slow"].state_dict())
    assert model.prediction == PRESETS["flow"].prediction
    assert (model.shape, model.classes, model.cell.sampler) == ((1, 8, 8), 10, "euler")
    assert not model.network.training


@pytest.mark.parametrize(
    "name", ["checkpoints", "checkpoints/step-00000004", "checkpoints/step-00000004.json"]
)
def test_a_checkpoint_is_named_in_every_way(trained, name):
    folder, trainer = trained
    assert same(load_model(folder / name), trainer.averages["slow"].state_dict())
    assert "no model yet" not in stored(folder / name).note


def test_an_earlier_checkpoint_is_that_one(trained):
    folder, trainer = trained
    model = load_model(folder / "checkpoints" / "step-00000002")
    assert model.meta["training"]["step"] == 2
    assert not same(model, trainer.averages["slow"].state_dict())


def test_averages_and_the_weights_themselves(trained):
    folder, trainer = trained
    for name in ("slow", "fast"):
        model = load_model(folder, average=name)
        assert same(model, trainer.averages[name].state_dict())
        assert model.meta["training"]["average"] == name
    assert same(load_model(folder, "none"), trainer.network.state_dict())
    with pytest.raises(ValueError, match="average is 'ema', expected one of slow, fast, none"):
        load_model(folder, "ema")


def test_another_average_than_the_models_is_in_the_checkpoints(trained):
    folder, trainer = trained
    save_trained(folder / "model", trainer)
    assert stored(folder).path == folder / "model"
    assert stored(folder, "slow").path == folder / "model"
    assert stored(folder, "slow").note == ""
    held = stored(folder, "fast")
    assert held.note == "average 'fast' after step 4"
    assert same(load_model(folder, "fast"), trainer.averages["fast"].state_dict())
    for _, path in steps_of(folder):
        path.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match="holds 'slow' alone and there are no checkpoints"):
        load_model(folder, "fast")


def test_a_damaged_checkpoint_is_left_out_and_named(trained):
    folder, _ = trained
    newest = folder / "checkpoints" / "step-00000004.safetensors"
    newest.write_bytes(newest.read_bytes()[:-3])
    held = stored(folder)
    assert held.path.name == "step-00000002"
    assert "left out" in held.note
    assert "step-00000004" in held.note
    with pytest.raises(ValueError, match="truncated or altered"):
        load_model(newest)
    before = folder / "checkpoints" / "step-00000002.safetensors"
    before.write_bytes(before.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"holds no whole checkpoint: .*step-00000004.*00000002"):
        load_model(folder)


def test_reading_changes_no_training(trained):
    folder, trainer = trained
    before = weights(trainer)
    load_model(folder)
    assert all(torch.equal(before[k], t) for k, t in weights(trainer).items())


def test_the_cell_is_the_trainings_own(tmp_path):
    config = tiny(
        "ncsn", law="{name='geometric', sigma_max=2.0, sigma_min=0.02, n=5}",
        **{"run.images": 24},
    )  # fmt: skip
    out = runs.run(config, open_source("digits"), tmp_path)
    save_trained(tmp_path / "model", out.trainer)
    assert load_model(tmp_path).cell.law.levels.max() == pytest.approx(2.0)


TABLE = {
    "process": {"name": "discrete", "betas": {"name": "linear_betas", "n": 100}},
    "prediction": {"name": "eps"},
}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_stored_cell_is_the_trainings(preset):
    config = configured(preset=preset)
    assert cell_of(config.model_dump()) == config.cell == PRESETS[preset]


@pytest.mark.parametrize("given", [{"sampler": "ddpm"}, {"importance": True}])
def test_a_stored_cell_of_another_table_draws_its_entries(given):
    config = configured(preset="iddpm", **TABLE, **given)
    assert cell_of(config.model_dump()) == config.cell
    assert config.cell.law.quantile(1.0) == config.cell.process.level(99)
