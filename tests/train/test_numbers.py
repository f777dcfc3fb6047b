# SPDX-License-Identifier: Apache-2.0
"""Vectors, sequences and latents from a file to a model, by the command and from Python."""

import numpy as np
import pytest
import torch

pytest.importorskip("pydantic")

import pydiffcore
from pydiffcore import levels, samplers
from pydiffcore.cli.main import main
from pydiffcore.data import Numbers, Order, open_source
from pydiffcore.networks import UNet1d
from pydiffcore.train import load_model, run
from pydiffcore.train.config import configured
from pydiffcore.train.model import save_trained
from pydiffcore.train.presets import PRESETS

QUICK = ["optimiser.batch=16", "run.images=64", "run.device=cpu", "data.workers=0"]
NETWORKS = {
    "mlp": "network.options={width=16, depth=1}",
    "unet1d": "network.options={widths=[8, 16], embedding=16}",
    "dit": "network.options={width=32, depth=1, heads=2, patch=1}",
}


def file_of(folder, name, *, observed=False):
    """Data of a network's form in units of their own, around 100."""
    shape = {"mlp": (50, 3), "unet1d": (50, 8, 2), "dit": (50, 4, 4, 4)}[name]
    rng = np.random.default_rng(1)
    data = {"x": 100 + 5 * rng.uniform(size=shape)}
    if observed:
        data["obs"] = rng.normal(size=(50, 3))
    np.savez(folder / "data.npz", **data)
    return str(folder / "data.npz")


def trained(folder, name, *more, observed=False):
    """Train by the command; return its exit code."""
    data = file_of(folder, name, observed=observed)
    words = ["train", "--data", data, "--out", str(folder / "r")]
    sets = [*QUICK, f"network.name={name}", NETWORKS[name], *more]
    return main(words + [word for each in sets for word in ("--set", each)])


@pytest.mark.parametrize("name", ["mlp", "unet1d", "dit"])
def test_from_file_to_samples_in_its_units(tmp_path, name, capsys):
    assert trained(tmp_path, name) == 0
    assert "--out samples.npz" in capsys.readouterr().out
    out = tmp_path / "s.npz"
    assert main(["sample", str(tmp_path / "r"), "--seeds", "0-4", "--out", str(out)]) == 0
    drawn = np.load(out)["samples"]
    model = load_model(tmp_path / "r")
    assert drawn.shape == (5, *model.shape)
    plan = pydiffcore.trace(samplers.heun, levels.karras(18), model.prediction)
    x0 = pydiffcore.sample(model.denoiser(), plan, shape=model.shape, seeds=range(5))
    assert np.allclose(drawn, model.span.restored(x0).numpy(), atol=1e-3)
    assert np.abs(drawn - 102.5).max() < 50  # x0 itself would be near 0
    assert main(["replay", str(out)]) == 0


def test_a_policy_sees_its_observation_in_its_units(tmp_path, capsys):
    assert trained(tmp_path, "unet1d", "preset=ddpm", observed=True) == 0
    assert "observation=" in capsys.readouterr().out
    model = load_model(tmp_path / "r")
    seen = np.load(tmp_path / "data.npz")["obs"]
    condition = model.denoiser(observation=seen[:4]).condition["observation"]
    assert torch.equal(condition, torch.from_numpy(Numbers(seen).span.scaled(seen[:4])))
    plan = pydiffcore.trace(
        samplers.ddim, levels.trailing(5, PRESETS["ddpm"].process), model.prediction
    )
    chunks = pydiffcore.sample(
        model.denoiser(observation=torch.from_numpy(seen[:4])), plan, shape=(8, 2), seeds=range(4)
    )
    assert torch.isfinite(model.span.restored(chunks)).all()
    with pytest.raises(ValueError, match=r"observation is None, expected \[N, 3\]"):
        model.denoiser()
    with pytest.raises(ValueError, match=r"shape \(4, 2\), expected \[N, 3\]"):
        model.denoiser(observation=seen[:4, :2])
    assert main(["sample", str(tmp_path / "r"), "--out", str(tmp_path / "s.npz")]) == 2
    assert "denoiser(observation=...)" in capsys.readouterr().err


def test_every_sample_is_told_its_own_observation(tmp_path, monkeypatch):
    seen = np.random.default_rng(2).uniform(-1, 1, (40, 2))
    source = Numbers(np.repeat(seen[:, None], 8, axis=1), observations=seen)
    told, forward = [], UNet1d.forward

    def noted(network, x, c_noise, observation=None):
        told.append((x.detach(), observation))
        return forward(network, x, c_noise, observation)

    monkeypatch.setattr(UNet1d, "forward", noted)
    sets = [*QUICK, "network.name=unet1d", NETWORKS["unet1d"], "optimiser.accumulate=2"]
    run.run(configured(overrides=sets), source, tmp_path)
    places = Order(40, 0).places(np.arange(64))
    expected = source.read(places)[1]
    assert len(told) == 8  # four steps in two parts
    assert torch.equal(torch.cat([observation for _, observation in told]), expected)


def test_what_does_not_fit_is_refused(tmp_path, capsys):
    assert trained(tmp_path, "dit", "data.mirror=true") == 2
    assert "data.mirror is True" in capsys.readouterr().err
    assert trained(tmp_path, "mlp", observed=True) == 2
    assert "'mlp', which takes no observations" in capsys.readouterr().err
    source = Numbers(np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"takes samples of \[C, H, W\]: expected mlp"):
        run.run(configured(overrides=QUICK), source, tmp_path / "other")
    with pytest.raises(ValueError, match=r"takes samples of .*: expected unet1d"):
        run.run(configured(overrides=QUICK), Numbers(np.zeros((4, 8, 3))), tmp_path / "other")


def test_models_of_images_have_no_units(tmp_path):
    overrides = [*QUICK, "network.options={width=16, multipliers=[1], blocks=1, attention=[]}"]
    trainer = run.run(configured(overrides=overrides), open_source("digits"), tmp_path).trainer
    save_trained(tmp_path / "model", trainer)
    model = load_model(tmp_path)
    assert model.span is None
    assert model.observed is None
    with pytest.raises(ValueError, match="trained without: expected None"):
        model.denoiser(observation=np.zeros((1, 2)))


def test_a_training_goes_on_in_its_own_units_alone(tmp_path):
    """Other data of the same size, even of one number more, would be scaled otherwise."""
    given = np.random.default_rng(0).uniform(size=(50, 3))
    other = given.copy()
    other[7, 1] = 1000.0
    config = configured(overrides=[*QUICK, "network.name=mlp", NETWORKS["mlp"]])
    run.run(config, Numbers(given), tmp_path)
    assert run.run(config, Numbers(given), tmp_path).finished
    with pytest.raises(ValueError, match=r"another training: units\.span\.high was .*1000"):
        run.run(config, Numbers(other), tmp_path)
    seen = configured(overrides=[*QUICK, "network.name=unet1d", NETWORKS["unet1d"]])
    actions = given[:, :1, None] * np.ones((1, 8, 2))
    run.run(seen, Numbers(actions, observations=given), tmp_path / "seen")
    with pytest.raises(ValueError, match=r"another training: units\.observed"):
        run.run(seen, Numbers(actions, observations=other), tmp_path / "seen")


def test_labels_that_a_network_does_not_take_are_refused(tmp_path):
    source = Numbers(np.random.default_rng(0).normal(size=(50, 8, 2)), np.arange(50) % 3)
    sets = [*QUICK, "network.name=unet1d", NETWORKS["unet1d"]]
    with pytest.raises(ValueError, match="unet1d takes no classes; expected false"):
        run.run(configured(overrides=sets), source, tmp_path)
    assert run.run(configured(overrides=[*sets, "data.labels=false"]), source, tmp_path).finished


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_the_device_is_that_of_the_configuration(tmp_path):
    config = configured(overrides=[*QUICK, "network.name=mlp", NETWORKS["mlp"], "run.device=cuda"])
    with pytest.raises(ValueError, match="device is 'cuda'"):
        run.run(config, Numbers(np.zeros((20, 3))), tmp_path)
