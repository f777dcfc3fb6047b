# SPDX-License-Identifier: Apache-2.0
"""The command ``pydiffcore train``."""

import json
import re
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("pydantic")
pytest.importorskip("sklearn")

import pydiffcore
from pydiffcore.cli.main import main
from pydiffcore.train.model import load_model
from pydiffcore.train.presets import PRESETS

SMALL = [
    "--set", "network.options={width=16, multipliers=[1, 1], blocks=1, attention=[4]}",
    "--set", "optimiser.batch=16", "--set", "run.images=96", "--set", "run.log_every=2",
    "--set", "run.samples=10", "--set", "data.workers=0", "--set", "run.sample_every=4",
]  # fmt: skip


def test_a_training_leaves_a_model_that_is_sampled_from(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", *SMALL, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "0.08 M parameters, preset edm" in said
    assert "steps        6 of 16 images, on cpu" in said
    assert "; activations come on top" in said
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "log.jsonl", "model.json", "samples.png"} <= names
    assert "samples-00000004.png" in names
    model = load_model(out)
    assert (model.classes, model.prediction.name) == (10, pydiffcore.prediction.edm().name)
    plan = pydiffcore.trace(
        pydiffcore.samplers.dpmpp_2m, pydiffcore.levels.karras(4), model.prediction
    )
    x0 = pydiffcore.sample(model.denoiser(torch.arange(3)), plan, shape=model.shape, seeds=range(3))
    assert x0.isfinite().all()
    assert main(["train", *SMALL, "--out", str(out)]) == 0
    assert "nothing to do: step 6 was the last of run.images = 96" in capsys.readouterr().out
    assert main(["train", *SMALL, "--set", "run.images=80", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "run.images is 80, which are 5 steps, but" in said
    assert "is at step 6 already: expected more than 96 images" in said


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
    kinds = ("weights", "gradients", "moments", "averages", "activations")
    assert re.search("MiB: " + ", ".join(rf"{kind} [\d.]+" for kind in kinds), said)
    assert list(tmp_path.iterdir()) == [path]


def test_the_bar_moves_at_every_step_from_where_the_training_stands(tmp_path, monkeypatch):
    tqdm = pytest.importorskip("tqdm.auto")
    bars = []

    class Bar:
        def __init__(self, **given):
            self.given, self.moves = given, []
            bars.append(self)

        def update(self, n):
            self.moves.append(n)

        def set_postfix(self, **_):
            pass

        def close(self):
            pass

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    out = ["--out", str(tmp_path)]
    seldom = ["--set", "run.log_every=50", "--set", "run.sample_every=0"]
    assert main(["train", *SMALL, *seldom, "--set", "run.images=32", *out]) == 0
    assert main(["train", *SMALL, *seldom, *out]) == 0
    first, rest = bars
    assert (first.given["total"], first.given["initial"], first.moves) == (32, 0, [16] * 2)
    assert (rest.given["total"], rest.given["initial"], rest.moves) == (96, 32, [16] * 4)


def test_a_bar_that_cannot_be_drawn_does_not_end_the_training(tmp_path, monkeypatch):
    tqdm = pytest.importorskip("tqdm.auto")

    class Bar:
        def __init__(self, **_):
            pass

        def update(self, n):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    assert main(["train", *SMALL, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "model.json").exists()


def test_without_tqdm_a_line_of_the_log_says_what_remains(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert main(["train", *SMALL, "--out", str(tmp_path)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert [line.split(",")[0] for line in lines] == [f"step {n} of 6" for n in (2, 4, 6)]
    assert lines[-1].endswith(", 0 h to go")


def test_help_names_every_preset_and_the_default(capsys):
    assert main(["train", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    listed = said.partition("--preset NAME ddpm")[2].partition(";")[0]
    assert set(re.findall(r"[a-z0-9-]+", f"ddpm{listed}")) - {"or"} == set(PRESETS)
    assert "or else edm" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "gan"], "preset is 'gan'"),
        (["--set", "optimiser.batch=0"], "optimiser.batch is 0"),
        (["--set", "optimizer.batch=3"], "did you mean optimiser?"),
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


def test_without_a_file_the_digits_are_learned_by_a_small_network(tmp_path, capsys):
    few = ["--set", "run.images=256", "--set", "data.workers=0", "--set", "run.sample_steps=2"]
    assert main(["train", "--out", str(tmp_path), *few]) == 0
    said = capsys.readouterr().out
    assert "ddpmpp, 1.03 M parameters, preset edm" in said
    assert "fitted       width = 32, multipliers = [1, 2]" in said
    assert load_model(tmp_path).shape == (1, 8, 8)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_dry_run_of_every_preset_on_small_pictures(preset, tmp_path, capsys):
    """Of a size that no paper has, so that options are fitted."""
    pictures = tmp_path / "pictures.npy"
    np.save(pictures, np.zeros((4, 28, 28, 1), np.uint8))
    small = {"dit": "{width=16, depth=1, heads=2}", "refinenet": "{width=4}"}
    options = small.get(PRESETS[preset].network, "{width=8, blocks=1}")
    if PRESETS[preset].network in ("adm", "edm2"):
        options = "{width=8, blocks=1, head_channels=8}"
    words = ["--data", str(pictures), "--set", f"network.options={options}"]
    words += ["--set", "optimiser.batch=2", "--preset", preset, "--dry-run"]
    assert main(["train", *words]) == 0
    said = capsys.readouterr().out
    assert "4 images (1, 28, 28)" in said
    fits = PRESETS[preset].network in ("dit", "refinenet")
    assert ("fitted" in said) == (not fits)
