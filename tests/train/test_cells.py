# SPDX-License-Identifier: Apache-2.0
"""Parts of a cell by their names, from a file to a model that is loaded."""

import pytest
import torch

pytest.importorskip("pydantic", reason="configurations are pydantic's")

from pydiffcore import prediction, process
from pydiffcore.data.digits import digits
from pydiffcore.train import laws, load_model, weights
from pydiffcore.train import run as runs
from pydiffcore.train.cells import replaced
from pydiffcore.train.config import configured
from pydiffcore.train.model import save_trained
from pydiffcore.train.presets import PRESETS

OTHER = {
    "process": {"name": "discrete", "betas": {"name": "cosine_betas", "n": 100}},
    "prediction": {"name": "v"},
    "law": {"name": "discrete_uniform"},
    "weight": {"name": "min_snr", "gamma": 3.0},
}


def test_parts_are_made_of_the_new_process():
    cell = replaced(PRESETS["edm"], OTHER)
    table = process.discrete(process.cosine_betas(100))
    assert cell.process.name == table.name
    assert cell.prediction == prediction.v(table)
    assert cell.law == laws.discrete_uniform(table)
    assert cell.weight(2.0) == weights.min_snr(3.0)(2.0)
    assert (cell.network, cell.sampler) == ("ddpmpp", "heun")
    assert replaced(PRESETS["edm"], {"weight": None}) == PRESETS["edm"]


def test_a_law_may_be_of_a_law():
    law = {"name": "shifted", "base": {"name": "uniform_flow"}, "factor": 3.0}
    cell = replaced(PRESETS["flow"], {"law": law})
    assert cell.law == laws.shifted(laws.uniform_flow(), 3.0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"prediction": {"name": "noise"}},
            r"prediction\.name is 'noise', expected one of consist",
        ),
        ({"prediction": {"name": "edm", "sigma": 1}}, "prediction.sigma is no argument of edm"),
        (
            {"process": {"name": "linear_betas"}},
            r"process\.name is 'linear_betas', expected one of",
        ),
        (
            {"process": {"name": "discrete", "betas": {"name": "vp"}}},
            r"process\.betas\.name is 'vp'",
        ),
        (
            {"process": {"name": "discrete", "betas": {"name": "jsd_betas", "n": 1}}},
            "process.betas:",
        ),
        ({"law": {"name": "stratified"}}, r"law\.name is 'stratified'"),
    ],
)
def test_refusals(given, said):
    with pytest.raises(ValueError, match=said):
        replaced(PRESETS["edm"], given)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["process={name='vp'}"], "expected prediction and law as well"),
        (["sampler=ddpm"], "sampler is ddpm, expected a process with a table, not edm"),
        (["sampler=langevin"], "sampler is langevin, expected a law of discrete levels"),
        (["sampler=rk4"], "sampler is 'rk4'"),
        (
            [
                "process={name='discrete', betas={name='cosine_betas', n=30}}",
                "prediction={name='v'}",
                "law={name='discrete_uniform'}",
                "sampler=ddpm",
                "run.sample_steps=50",
            ],
            "50",
        ),
        (["loss=hybrid"], "expected one with a table for loss 'hybrid'"),
        (["loss=squared"], "loss is 'squared'"),
    ],
)
def test_configurations_are_refused(overrides, said):
    with pytest.raises(ValueError, match=said):
        configured(preset="edm", overrides=overrides)


def test_a_preset_with_a_table_becomes_one_without(tmp_path):
    config = configured(
        preset="iddpm", process={"name": "vp"}, prediction={"name": "v"}, law={"name": "uniform_t"},
        loss="denoising", sampler="euler_maruyama",
        network={"name": "unet", "options": {"width": 8}},
        optimiser={"batch": 4}, run={"images": 8}, data={"workers": 0},
    )  # fmt: skip
    out = runs.run(config, digits(), tmp_path, echo=lambda _: None)
    save_trained(tmp_path / "model", out.trainer)
    model = load_model(tmp_path / "model")
    assert model.prediction == prediction.v(process.vp())
    assert not model.learned_variance


def test_a_short_table_is_drawn_with_all_its_entries():
    table = {"name": "discrete", "betas": {"name": "cosine_betas", "n": 30}}
    config = configured(preset="ddpm", **(OTHER | {"process": table}))
    assert config.run.steps_of(config.cell) == 30
    assert configured(preset="ddpm").run.steps_of(PRESETS["ddpm"]) == 50


def test_a_model_keeps_what_its_output_means(tmp_path):
    config = configured(
        preset="edm", **OTHER, loss="hybrid", sampler="ddpm",
        network={"name": "adm", "options": {
            "width": 8, "multipliers": [1], "blocks": 1, "attention": [], "head_channels": 8}},
        optimiser={"batch": 4}, run={"images": 8}, data={"workers": 0},
    )  # fmt: skip
    out = runs.run(config, digits(), tmp_path, echo=lambda _: None)
    save_trained(tmp_path / "model", out.trainer)
    model = load_model(tmp_path / "model")
    assert model.prediction == config.cell.prediction
    assert model.learned_variance
    F = model.network(torch.zeros(1, 1, 8, 8), torch.zeros(1))
    assert F.shape == (1, 2, 8, 8)
