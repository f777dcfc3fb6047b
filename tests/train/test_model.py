# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

pytest.importorskip("safetensors", reason="checkpoints are safetensors")
pytest.importorskip("pydantic", reason="configurations are pydantic's")

import pydiffcore
from pydiffcore.networks import UNet
from pydiffcore.train import load_model, save, save_trained
from pydiffcore.train.config import configured
from pydiffcore.train.trainer import Trainer

META = {"network": {"name": "unet"}, "prediction": {"name": "edm", "learned_variance": False},
        "shape": [1, 8, 8]}  # fmt: skip


@pytest.fixture
def saved(tmp_path):
    sets = ["network.name=unet", "network.options={width=8, embedding=16}", "run.seed=3"]
    trainer = Trainer(configured(overrides=sets), (1, 8, 8), 10)
    network = trainer.averages["ema"]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    save_trained(tmp_path / "model", trainer)
    return network, tmp_path / "model"


def written(path, network):
    """Write a network as a model."""
    save(path, network.state_dict(), {**META, "network": {"name": "unet", **network.config}})


def test_round_trip(saved):
    network, path = saved
    model = load_model(path)
    x, c_noise, labels = torch.randn(3, 1, 8, 8), torch.randn(3), torch.tensor([1, 2, 10])
    assert torch.equal(model.network(x, c_noise, labels), network(x, c_noise, labels))
    assert model.prediction == pydiffcore.prediction.edm(0.5)
    assert model.shape == (1, 8, 8)
    assert model.meta["training"]["config"]["run"]["seed"] == 3
    assert not model.network.training


@pytest.mark.parametrize("name", [".", "model", "model.json", "model.safetensors"])
def test_a_folder_and_every_name_of_it_are_read(saved, name):
    assert load_model(saved[1].parent / name).shape == (1, 8, 8)


def test_a_checkpoint_beside_a_folder_of_its_name_is_itself(saved):
    network, path = saved
    beside = path.with_name("photos")
    inside = beside / "model"
    with torch.no_grad():
        for factor, where in ((1.0, beside), (2.0, inside)):
            for weight in network.parameters():
                weight.fill_(factor)
            where.parent.mkdir(exist_ok=True)
            written(where, network)
    for given, factor in ((beside, 1.0), (f"{beside}.safetensors", 1.0), (inside, 2.0)):
        assert float(next(iter(load_model(given).network.parameters())).max()) == factor


def test_a_folder_without_a_model_or_with_two_is_refused(saved):
    network, path = saved
    folder = path.parent / "run"
    (folder / "checkpoints").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds no model yet, nor a checkpoint"):
        load_model(folder)
    for name in ("a", "b"):
        written(folder / name, network)
    with pytest.raises(ValueError, match="holds the checkpoints a, b; expected one"):
        load_model(folder)


def test_it_samples(saved):
    model = load_model(saved[1])
    plan = pydiffcore.trace(
        pydiffcore.samplers.euler, pydiffcore.levels.karras(3), prediction=model.prediction
    )
    draw = {"shape": model.shape, "seeds": range(5)}
    labels = torch.arange(5)
    x = pydiffcore.sample(model.denoiser(labels), plan, **draw)
    assert x.shape == (5, 1, 8, 8)
    assert torch.isfinite(x).all()
    apart = pydiffcore.sample(model.denoiser(labels), plan, batch=2, **draw)
    torch.testing.assert_close(x, apart, rtol=1e-3, atol=1e-3)
    assert not torch.equal(x, pydiffcore.sample(model.denoiser(), plan, **draw))


def test_a_checkpoint_of_something_else(tmp_path):
    save(tmp_path / "other", {"a": torch.zeros(1)}, {"step": 3})
    with pytest.raises(ValueError, match="holds no model"):
        load_model(tmp_path / "other")


def test_weights_that_do_not_fit(tmp_path):
    network = UNet(width=8)
    config = {**META, "network": {"name": "unet", **network.config, "width": 16}}
    save(tmp_path / "x", network.state_dict(), config)
    with pytest.raises(ValueError, match="does not fit its own description"):
        load_model(tmp_path / "x")


def test_a_model_of_an_older_form_is_refused(tmp_path):
    network = UNet(width=8)
    meta = {"network": {"name": "unet", **network.config}, "shape": [1, 8, 8],
            "prediction": {"name": "edm", "sigma_data": 0.5}}  # fmt: skip
    save(tmp_path / "x", network.state_dict(), meta)
    with pytest.raises(ValueError, match=r"holds no model: KeyError.'learned_variance'"):
        load_model(tmp_path / "x")
