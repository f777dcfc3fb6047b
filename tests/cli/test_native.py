# SPDX-License-Identifier: Apache-2.0
"""``pydiffcore sample RUN`` draws as the run's paper does, unless told otherwise."""

import json

import numpy as np
import pytest
import torch

pytest.importorskip("pydantic")
pytest.importorskip("sklearn")

from trainings import tiny

import pydiffcore
from pydiffcore import levels, samplers
from pydiffcore.data import open_source
from pydiffcore.train import load_model
from pydiffcore.train import run as runs
from pydiffcore.train.model import save_trained
from pydiffcore.train.native import native_plan
from pydiffcore.train.presets import PRESETS

V1 = "{name='geometric', sigma_max=2.0, sigma_min=0.02, n=5}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folders of tiny trainings, by preset."""
    folder = tmp_path_factory.mktemp("runs")
    for name, given in {"ddpm": {}, "ncsn": {"law": V1}, "flow": {}, "edm": {}}.items():
        config = tiny(name, **{"run.images": 24, **given})
        out = runs.run(config, open_source("digits"), folder / name)
        save_trained(folder / name / "model", out.trainer)
    return folder


def drawn(run, *arguments):
    """Run the command: (samples, plan, what was said)."""
    out = "x.npz"
    code, said, err = run("sample", *arguments, "--seeds", "0-2", "--out", out)
    assert (code, err) == (0, "")
    with np.load(out) as content:
        plan = pydiffcore.Plan.from_json(str(content["pydiffcore-plan"]))
        return torch.from_numpy(content["samples"]), plan, said


@pytest.mark.parametrize("given", [(), ("--sampler", "native")])
@pytest.mark.parametrize("preset", ["flow", "edm"])
def test_the_default_is_the_runs_own(run, place, trained, preset, given):
    x0, plan, said = drawn(run, trained / preset, *given)
    expected = native_plan(PRESETS[preset])
    assert plan.hash == expected.hash
    assert f"{expected.nfe} network calls" in said
    model = load_model(trained / preset)
    labels = torch.arange(3)
    again = pydiffcore.sample(model.denoiser(labels), expected, shape=(1, 8, 8), seeds=range(3))
    assert torch.equal(x0, again)


def test_ddpm_takes_its_own_table_and_clips(run, place, trained):
    _, plan, _ = drawn(run, trained / "ddpm", "--steps", "5")
    assert plan.hash == native_plan(PRESETS["ddpm"], 5, bounds=(-1.0, 1.0)).hash
    _, plan, _ = drawn(run, trained / "ddpm", "--steps", "5", "--clip", "-2,2")
    assert plan.hash == native_plan(PRESETS["ddpm"], 5, bounds=(-2.0, 2.0)).hash
    _, same, _ = drawn(
        run, trained / "ddpm", "--sampler", "ddpm", "--levels", "space-timesteps", "--steps", "5",
        "--clip", "-2,2",
    )  # fmt: skip
    assert same.hash == plan.hash


def test_the_process_is_the_runs_own_unless_it_is_given(run, place, trained):
    cell = PRESETS["ddpm"]
    arguments = ["--sampler", "dpmpp-2m", "--levels", "trailing", "--steps", "4"]
    _, plan, _ = drawn(run, trained / "ddpm", *arguments)
    visited = levels.trailing(4, cell.process)
    assert plan.hash == pydiffcore.trace(samplers.dpmpp_2m, visited, cell.prediction).hash
    _, other, _ = drawn(run, trained / "ddpm", *arguments, "--process", "latent")
    assert other.hash != plan.hash


def test_a_sampler_of_ones_own_stays_where_the_network_was_trained(run, place, trained):
    for arguments, high in ((["--sampler", "heun"], 2.0), (["--steps", "4"], 2.0),
                            (["--sampler", "euler", "--sigma-max", "3"], 3.0)):  # fmt: skip
        _, plan, _ = drawn(run, trained / "ncsn", *arguments)
        sigma = plan.sigma[plan.sigma > 0]
        assert sigma.max() == pytest.approx(high)
        assert sigma.min() == pytest.approx(0.02)


def test_levels_of_ones_own_for_the_runs_sampler(run, place, trained):
    _, plan, _ = drawn(run, trained / "ncsn", "--levels", "karras", "--steps", "4")
    visited = levels.karras(4, 0.02, 2.0)
    step = samplers.ncsnv2_step(visited, 5)
    expected = pydiffcore.trace(
        samplers.langevin, visited, PRESETS["ncsn"].prediction, convention="ncsnv2", repeats=5,
        step=step,
    )  # fmt: skip
    assert plan.hash == expected.hash


def test_options_of_the_runs_sampler(run, place, trained):
    _, plan, _ = drawn(run, trained / "edm", "--option", "churn=20")
    prediction = PRESETS["edm"].prediction
    expected = pydiffcore.trace(samplers.heun, levels.karras(18), prediction, churn=20.0)
    assert plan.hash == expected.hash


def test_native_needs_a_training(refused, place):
    arguments = ("--network", "mine:D", "--shape", "1,4,4", "--sampler", "native")
    assert "--sampler is native" in refused("sample", *arguments)


def test_another_prediction_is_refused(refused, place, trained):
    line = refused("sample", trained / "ddpm", "--prediction", "v")
    assert "the network's own is" in line


def test_a_checkpoint_and_an_average_are_drawn_from_and_replayed(run, place, trained):
    model = trained / "flow" / "model"
    folder = place / "stopped"
    folder.mkdir()
    (folder / "checkpoints").symlink_to(model.parent / "checkpoints")
    short = ["--steps", "3"]
    x0, _, said = drawn(run, folder, *short)
    assert "holds no model yet" in said
    finished, _, said = drawn(run, model.parent, *short)
    assert "holds no model yet" not in said
    assert torch.equal(x0, finished)
    raw, _, said = drawn(run, model.parent, *short, "--average", "none")
    assert "the weights after step 2" in said
    assert not torch.equal(raw, finished)
    with np.load("x.npz") as content:
        drawing = json.loads(str(content["pydiffcore"]))
    assert drawing["network"]["average"] == "none"
    code, said, _ = run("replay", "x.npz")
    assert (code, "identical" in said) == (0, True)
    code, said, _ = run("replay", "x.npz", "--checkpoint", folder)
    assert (code, "identical" in said) == (0, True)


def test_an_average_that_is_not_there(refused, place, trained):
    line = refused("sample", trained / "flow", "--average", "slow")
    assert "average is 'slow', expected one of ema, none" in line
    arguments = ("--network", "mine:D", "--shape", "1,4,4", "--average", "slow")
    assert "--average is 'slow'" in refused("sample", *arguments)


@pytest.mark.parametrize("bound", ["--sigma-max", "--sigma-min", "--rho"])
def test_bounds_of_karras_levels_do_not_replace_other_levels(run, place, trained, bound):
    code, _, said = run("sample", trained / "ddpm", bound, "1.5", "--seeds", "0", "--out", "x.npz")
    assert code == 2
    assert f"{bound} is given, but the training's own sampler ddpm visits" in said
    assert drawn(run, trained / "edm", "--sigma-max", "40")[1].sigma_init == 40
