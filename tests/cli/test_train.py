# SPDX-License-Identifier: Apache-2.0
"""The command ``pydiffcore train``."""

import json

import pytest
import torch

pytest.importorskip("pydantic")
pytest.importorskip("sklearn")

import pydiffcore
from pydiffcore.cli.main import main
from pydiffcore.train.model import load_model

SMALL = [
    "--set", "network.options={width=16, multipliers=[1, 1], blocks=1, attention=[4]}",
    "--set", "optimiser.batch=16", "--set", "run.images=96", "--set", "run.log_every=2",
    "--set", "run.samples=10", "--set", "data.workers=0", "--set", "run.sample_every=4",
]  # fmt: skip


def test_a_training_leaves_a_model_that_is_sampled_from(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", *SMALL, "--out", str(out)]) == 0
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "log.jsonl", "model.json", "samples.png"} <= names
    assert "samples-00000004.png" in names
    model = load_model(out / "model")
    assert (model.classes, model.prediction.name) == (10, pydiffcore.prediction.edm().name)
    plan = pydiffcore.trace(
        pydiffcore.samplers.dpmpp_2m, pydiffcore.levels.karras(4), model.prediction
    )
    x0 = pydiffcore.sample(model.denoiser(torch.arange(3)), plan, shape=model.shape, seeds=range(3))
    assert x0.isfinite().all()
    assert main(["train", *SMALL, "--out", str(out)]) == 0
    assert "going on after step 6" in capsys.readouterr().out


def test_a_dry_run_says_what_would_be_done(tmp_path, capsys):
    path = tmp_path / "a.toml"
    path.write_text(
        'preset = "flow"\n[network.options]\npatch = 4\nwidth = 16\ndepth = 1\nheads = 2\n'
    )
    assert main(["train", str(path), "--dry-run", "--set", "optimiser.batch=8"]) == 0
    said = capsys.readouterr().out
    assert '"preset": "flow"' in said
    assert "800 images (1, 8, 8), 10 classes" in said
    assert "images/s" in said
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "gan"], "preset is 'gan'"),
        (["--set", "optimiser.batch=0"], "optimiser.batch is 0"),
        (["--data", "nowhere.zip"], "nowhere.zip"),
        (["missing.toml"], "missing.toml"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["train", *arguments]))
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_the_log_has_the_loss_of_each_band_of_levels(tmp_path):
    assert main(["train", *SMALL, "--preset", "ddpmpp-vp", "--out", str(tmp_path)]) == 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert all(line["loss_by_level"] for line in lines)
