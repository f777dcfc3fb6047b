# SPDX-License-Identifier: Apache-2.0
"""Averages of widths that were chosen after the training."""

import numpy as np
import pytest
import torch

pytest.importorskip("safetensors")
pytest.importorskip("pydantic")

import pydiffcore
from pydiffcore.cli.main import main
from pydiffcore.data import Numbers
from pydiffcore.train import load_model
from pydiffcore.train import run as runs
from pydiffcore.train.config import configured
from pydiffcore.train.model import save_trained
from pydiffcore.train.reconstruction import misfit, reconstructed

# The last is not for the reconstruction: it is what is reconstructed.
KEPT = 'averages={a={kind="power", width=0.05}, b={kind="power", width=0.1}}'
ALL = KEPT[:-1] + ', c={kind="power", width=0.15}}'


def trained(folder, averages=KEPT, images=320):
    small = ["network.name=mlp", "network.options={width=8, depth=1}", "data.workers=0"]
    often = ["optimiser.batch=8", f"run.images={images}", "run.save_every=2", "run.keep=1"]
    config = configured(overrides=[*small, *often, averages])
    values = np.random.default_rng(0).normal(size=(40, 2))
    return runs.run(config, Numbers(values), folder).trainer


@pytest.fixture(scope="module", autouse=True)
def _tiny(one_thread):
    """Everything here is tiny."""


@pytest.mark.parametrize("finished", [False, True])
def test_it_is_the_average_that_the_training_would_have_had(tmp_path, finished):
    trainer = trained(tmp_path, ALL)
    if finished:
        save_trained(tmp_path / "model", trainer)
    wanted = trainer.averages["c"].state_dict()
    for path in (tmp_path / "snapshots").glob("*-c.*"):
        path.unlink()
    made = reconstructed(tmp_path, 0.15)
    assert (len(made.kept), made.time) == (40, 40)
    assert made.misfit < 0.01
    start = trainer.averages["a"].state_dict()
    for name, tensor in made.model.network.state_dict().items():
        if name in dict(trainer.network.named_parameters()):
            far = (start[name] - wanted[name]).norm()
            assert (tensor - wanted[name]).norm() < 0.2 * far


def test_it_is_saved_and_sampled_from(tmp_path, capsys):
    trained(tmp_path / "run")
    arguments = ["posthoc", str(tmp_path / "run"), "--width", "0.1", "--time", "30"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "width 0.1 at step 30, of 40 snapshots of the widths 0.05, 0.1" in said
    assert "met badly" not in said
    model = load_model(tmp_path / "out")
    about = model.meta["training"]
    assert (about["step"], about["average"], len(about["snapshots"])) == (30, "width 0.1", 40)
    plan = pydiffcore.trace(
        pydiffcore.samplers.euler, pydiffcore.levels.karras(3), model.prediction
    )
    x0 = pydiffcore.sample(model.denoiser(), plan, shape=model.shape, seeds=range(3))
    assert x0.isfinite().all()
    out = str(tmp_path / "x.npz")
    assert main(["sample", str(tmp_path / "out"), "--steps", "3", "--out", out]) == 0
    again = reconstructed(tmp_path / "run", 0.1, 30).model.network
    kept = dict(again.named_parameters())
    assert all(torch.equal(each, kept[name]) for name, each in model.network.named_parameters())


def test_what_was_kept_is_met_exactly_and_one_snapshot_is_not_enough():
    kept = [(width, float(step)) for step in (10, 20, 40) for width in (0.05, 0.1)]
    assert misfit(kept, (0.1, 40.0)) < 1e-3
    assert misfit(kept[:1], (0.25, 10.0)) > 0.1


def test_a_poor_fit_is_said(tmp_path, capsys):
    trained(tmp_path / "run", 'averages={a={kind="power", width=0.05}}', images=16)
    arguments = ["posthoc", str(tmp_path / "run"), "--width", "0.25", "--out", str(tmp_path / "o")]
    assert main(arguments) == 0
    assert "met badly" in capsys.readouterr().out


def test_a_damaged_snapshot_is_left_out(tmp_path):
    trained(tmp_path)
    path = tmp_path / "snapshots" / "step-00000020-a.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    made = reconstructed(tmp_path, 0.1)
    assert (len(made.kept), len(made.left_out)) == (39, 1)
    assert "step-00000020-a" in made.left_out[0]


@pytest.mark.parametrize(
    ("width", "time", "words"),
    [
        (0.5, None, r"width is 0\.5, expected a number in \(0, 0\.28\]"),
        (0.1, 41.0, "time is 41, expected a step above 0, at most 40"),
        (0.1, 0.0, "time is 0, expected a step above 0"),
    ],
)
def test_refusals(tmp_path, width, time, words):
    trained(tmp_path)
    with pytest.raises(ValueError, match=words):
        reconstructed(tmp_path, width, time)


def test_a_training_without_snapshots(tmp_path):
    trained(tmp_path, 'averages={a={kind="fixed"}}', images=8)
    with pytest.raises(FileNotFoundError, match="keeps them of averages of kind 'power'"):
        reconstructed(tmp_path, 0.1)
