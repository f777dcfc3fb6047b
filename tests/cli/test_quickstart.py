# SPDX-License-Identifier: Apache-2.0
import json
import os
import signal

import pytest
import torch

pytest.importorskip("sklearn", reason="an extra of the quickstart")
pytest.importorskip("safetensors", reason="an extra of the quickstart")
pytest.importorskip("matplotlib", reason="an extra of the quickstart")
pytest.importorskip("PIL", reason="an extra of the quickstart")
pytest.importorskip("pydantic", reason="an extra of the quickstart")

import pydiffcore
from pydiffcore.cli import quickstart as module
from pydiffcore.cli.quickstart import TRAINING, plans, quickstart
from pydiffcore.cli.train import Watcher
from pydiffcore.train import load_model
from pydiffcore.train.checkpoint import load
from pydiffcore.train.storage import steps_of

STEPS = 3
TINY = [
    "network.options={width=8, embedding=16}", "optimiser.batch=8", f"run.images={8 * STEPS}",
    "run.log_every=1",
]  # fmt: skip
FILES = {
    "checkpoints", "config.json", "log.jsonl", "loss.png", "model.json", "model.safetensors",
    "results.json", "samples.png", "trajectory.png",
}  # fmt: skip
SAMPLERS = ["euler", "heun", "dpmpp_2m", "dpmpp_2m_sde"]


def tiny(out, lines=None, **options):
    echo = (lambda line: None) if lines is None else lines.append
    return quickstart(out, overrides=TINY, samples=800, nfe=3, judge_steps=3, echo=echo, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out, lines = tmp_path_factory.mktemp("quickstart"), []
    return out, tiny(out, lines), lines


@pytest.fixture
def stop_at(monkeypatch):
    """Send a signal to this process after some training step."""

    def arrange(step, number):
        def tick(watcher, report):
            if report.step == step:
                os.kill(os.getpid(), number)

        monkeypatch.setattr(Watcher, "tick", tick)

    return arrange


def test_files(finished):
    out, results, _ = finished
    assert {path.name for path in out.iterdir()} - {"tensorboard"} == FILES
    assert json.loads((out / "results.json").read_text()) == results


def test_figures_of_four_samplers_at_equal_nfe(finished):
    rows = finished[1]["samplers"]
    assert [row["sampler"] for row in rows] == SAMPLERS
    assert {row["nfe"] for row in rows} == {3}
    for row in rows:
        assert row["frechet_over_floor"] == pytest.approx(
            row["frechet"] / finished[1]["frechet_floor"]
        )
        assert 0 <= row["agreement"] <= 1
        assert 0 < row["share_outside_network"] < 1
        assert row["images_per_second"] > 0


def test_table_has_a_line_per_sampler_and_explains_its_columns(finished):
    lines = finished[2]
    for name in (*SAMPLERS, "Fréchet", "judge", "median", "near", "outside", "pictures", "time"):
        assert sum(line.split()[:1] == [name] for line in lines) == 1, name


def test_pictures_are_large_enough_for_the_eye(finished):
    from PIL import Image

    for name, width in (("samples.png", 600), ("trajectory.png", 300), ("loss.png", 600)):
        with Image.open(finished[0] / name) as image:
            assert image.width >= width
            assert len(set(image.convert("L").resize((64, 64)).tobytes())) > 2


def test_rows_of_the_grid_are_digits(finished, monkeypatch, tmp_path):
    written = {}
    monkeypatch.setattr(
        module.pictures, "write_grid",
        lambda path, images, columns, **options: written.update(images=images, columns=columns),
    )  # fmt: skip
    images = (torch.arange(800) % 10).to(torch.uint8).view(800, 1, 1, 1).expand(800, 1, 8, 8)
    model = load_model(finished[0] / "model")
    line = '{"step": 1, "loss": 1.0}\n{"step": 2, "loss": null}\n'
    (tmp_path / "log.jsonl").write_text(line)
    module._pictures(tmp_path, model, plans(model.prediction, 3)["heun"], images)
    rows = written["images"][:, 0, 4, 4].view(-1, written["columns"])
    assert torch.equal(rows, torch.arange(10, dtype=torch.uint8)[:, None].expand_as(rows))


def test_the_model_is_the_average_of_the_training(finished):
    (step, path), *_ = steps_of(finished[0])
    model, (tensors, _) = load_model(finished[0] / "model"), load(path)
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(tensor, tensors[f"average.ema/{name}"])
    assert step == STEPS
    assert model.prediction == pydiffcore.prediction.edm(0.5)


def test_overrides_leave_the_configuration_alone(finished):
    assert TRAINING["run"]["images"] == 1600 * 128
    assert json.loads((finished[0] / "config.json").read_text())["run"]["images"] == 8 * STEPS


def test_a_new_start_is_one(finished, tmp_path):
    """Another configuration in the same folder is no error, and nothing of the first is left."""
    tiny(tmp_path)
    wider = [*TINY, "network.options={width=16, embedding=16}"]
    quickstart(tmp_path, overrides=wider, samples=800, nfe=3, judge_steps=3, echo=lambda line: None)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
    assert load_model(tmp_path).network.config["width"] == 16


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_saves_says_so_and_resumes_to_the_same_model(
    finished, stop_at, monkeypatch, tmp_path, number
):
    stop_at(2, number)
    lines = []
    with pytest.raises(SystemExit) as stopped:
        tiny(tmp_path, lines)
    assert stopped.value.code == 128 + number
    assert "step 2 of 3" in lines[-1]
    assert "--resume" in lines[-1]
    assert [step for step, _ in steps_of(tmp_path)] == [2]
    assert not (tmp_path / "model.json").exists()
    monkeypatch.undo()
    resumed = tiny(tmp_path, resume=True)
    whole = finished[1]["samplers"]
    for row, other in zip(resumed["samplers"], whole, strict=True):
        assert row["frechet"] == other["frechet"]


def test_interrupted_on_a_full_disk_says_what_is_lost(stop_at, monkeypatch, tmp_path):
    from pydiffcore.train import run

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run, "save", full)
    stop_at(2, signal.SIGTERM)
    lines = []
    with pytest.raises(SystemExit) as stopped:
        tiny(tmp_path, lines)
    assert stopped.value.code == 1
    assert "step 2 of 3, which is not saved: no step is" in lines[-1]
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        tiny(tmp_path, resume=True)


def test_another_training_in_the_folder_is_left_alone(tmp_path):
    checkpoint = tmp_path / "checkpoints" / "step-00500000.json"
    checkpoint.parent.mkdir()
    checkpoint.write_text("{}")
    for config in (None, '{"data": {"source": "photos.zip"}, "network": {"name": null}}'):
        if config is not None:
            (tmp_path / "config.json").write_text(config)
        with pytest.raises(ValueError, match="holds another training"):
            tiny(tmp_path)
        assert checkpoint.exists()


def test_interrupted_while_measuring_keeps_the_model(monkeypatch, tmp_path):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "measure", interrupt)
    lines = []
    with pytest.raises(KeyboardInterrupt):
        tiny(tmp_path, lines)
    assert "--resume" in lines[-1]
    assert load_model(tmp_path / "model").shape == (1, 8, 8)


def test_a_signal_at_the_last_step_stops_nothing(stop_at, monkeypatch, tmp_path):
    stop_at(STEPS, signal.SIGTERM)
    assert tiny(tmp_path)["samples"] == 800


def test_nothing_to_resume(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkpoints"):
        tiny(tmp_path, resume=True)


def test_altered_training_is_refused(finished, tmp_path):
    """It is named, and the training begins anew."""
    lines = []
    (tmp_path / "checkpoints").mkdir()
    for path in (finished[0] / "checkpoints").iterdir():
        (tmp_path / "checkpoints" / path.name).write_bytes(path.read_bytes()[:-9])
    tiny(tmp_path, lines, resume=True)
    assert sum("truncated or altered" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [({"samples": 790}, "samples is 790"), ({"samples": 805}, "samples is 805"),
     ({"nfe": 4}, "nfe is 4"), ({"nfe": -1}, "nfe is -1")],
)  # fmt: skip
def test_bad_numbers_are_named_before_anything_is_done(tmp_path, options, text):
    with pytest.raises(ValueError, match=text):
        quickstart(tmp_path / "out", overrides=TINY, **options)
    assert not (tmp_path / "out").exists()


def test_missing_extras_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "sklearn" else object())
    with pytest.raises(ImportError, match=r"scikit-learn: pip install 'pydiffcore\[digits\]'"):
        quickstart(tmp_path / "out", overrides=TINY)


@pytest.mark.slow
def test_quickstart_reaches_its_bars(tmp_path):
    results = quickstart(tmp_path)
    assert results["judge_accuracy_on_reference"] >= 0.95
    heun = results["samplers"][SAMPLERS.index("heun")]
    assert heun["agreement"] >= 0.95
    assert heun["frechet_over_floor"] <= 1.5
    assert heun["median_distance_over_held_out"] >= 0.85


def test_figures_can_tell_a_bad_model(finished):
    for row in finished[1]["samplers"]:
        assert row["frechet_over_floor"] > 1.5
        assert row["agreement"] < 0.5
