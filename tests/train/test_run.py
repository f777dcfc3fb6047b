# SPDX-License-Identifier: Apache-2.0
"""Whole trainings: interrupted and taken up, on several ranks, with faults."""

import io
import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("pydantic")
pytest.importorskip("sklearn")

from trainings import TINY, started, tiny, weights

from pydiffcore.data import Array, Loader, open_source
from pydiffcore.train import run as runs
from pydiffcore.train import storage
from pydiffcore.train.model import load_model, save_trained
from pydiffcore.train.presets import PRESETS
from pydiffcore.train.ranks import Ranks
from pydiffcore.train.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")  # as many as the worker has
WORKER = Path(__file__).with_name("run_worker.py")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def digits():
    return open_source("digits")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_learns(preset, digits, tmp_path):
    config = tiny(preset, **{"run.images": 480, "optimiser.rate": "{peak=2e-3}"})
    out = runs.run(config, digits, tmp_path, echo=print)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert (out.finished, out.trainer.step, len(lines)) == (True, 40, 20)
    losses = [line["loss"] for line in lines]
    assert sum(losses[-5:]) < sum(losses[:5])
    assert all(line["loss_by_level"] and line["skipped"] == 0 for line in lines)


@pytest.mark.parametrize("preset", ["ddpm", "iddpm", "edm2"])
def test_a_run_taken_up_ends_with_the_same_bits(preset, digits, tmp_path):
    changes = {"averages": '{a={kind="power"}, b={kind="fixed", decay=0.9}}'}
    changes |= {"importance": "true"} if preset == "iddpm" else {}
    whole = runs.run(tiny(preset, **changes), digits, tmp_path / "whole")
    config = tiny(preset, **changes)
    first = Trainer(config, digits.shape, digits.classes)
    with Loader(digits, batch=12, workers=0) as loader:
        for _ in range(3):
            first.advance(next(loader))
    storage.save(tmp_path / "cut", first, keep=3)
    said = []
    again = runs.run(config, digits, tmp_path / "cut", echo=said.append)
    assert said == ["going on after step 3"]
    assert same(weights(whole.trainer), weights(again.trainer))


def test_accumulation_gives_the_same_gradients(digits):
    reports = []
    for parts in (1, 3):
        trainer = Trainer(tiny(**{"optimiser.accumulate": parts}), digits.shape, digits.classes)
        with Loader(digits, batch=12, workers=0) as loader:
            reports.append([trainer.advance(next(loader)) for _ in range(3)])
    for one, three in zip(*reports, strict=True):
        assert one.loss == pytest.approx(three.loss, rel=1e-5)
        assert one.norm == pytest.approx(three.norm, rel=1e-4)


def test_old_checkpoints_go_and_a_broken_newest_is_left_out(digits, tmp_path):
    config = tiny(**{"run.save_every": 2, "run.keep": 2})
    runs.run(config, digits, tmp_path)
    assert [step for step, _ in storage.steps_of(tmp_path)] == [8, 6]
    newest = tmp_path / "checkpoints/step-00000008.safetensors"
    newest.write_bytes(newest.read_bytes()[:-9])
    trainer = Trainer(config, digits.shape, digits.classes)
    step, faults = storage.resumed(tmp_path, trainer)
    assert (step, len(faults)) == (6, 1)
    assert "truncated" in faults[0]


def test_another_configuration_is_refused(digits, tmp_path):
    runs.run(tiny(), digits, tmp_path)
    for changed, words in (
        ({"optimiser.batch": 24}, "another configuration: optimiser.batch was 12, now it is 24$"),
        (
            {"network.options": TINY["ddpmpp"].replace("16", "8")},
            "another training: network.width was 16, now it is 8$",
        ),
        ({"run.seed": 1}, "another configuration: run.seed was 0, now it is 1$"),
    ):
        with pytest.raises(ValueError, match=words):
            runs.run(tiny(**changed), digits, tmp_path)
    longer = runs.run(tiny(**{"run.images": 120}), digits, tmp_path)
    assert longer.trainer.step == 10


def test_a_cosine_ends_where_it_was_to_end(digits, tmp_path):
    cosine = {"optimiser.rate": "{kind='cosine'}"}
    runs.run(tiny(**cosine), digits, tmp_path)
    words = "another configuration: run.images was 96, now it is 120$"
    with pytest.raises(ValueError, match=words):
        runs.run(tiny(**cosine, **{"run.images": 120}), digits, tmp_path)


def test_other_images_of_the_same_number_and_shape_are_refused(digits, tmp_path):
    """Also other labels of the same images; those that were told so go on."""
    images, labels = digits.read(range(800))
    runs.run(tiny(), digits, tmp_path)
    flipped = Array(images.numpy()[:, :, ::-1], labels.numpy(), where="flipped")
    other = Array(images.numpy(), (labels.numpy() + 1) % 10, where="other")
    for changed in (flipped, other):
        with pytest.raises(ValueError, match=r"other samples: .* or data\.changed = true"):
            runs.run(tiny(**{"run.images": 120}), changed, tmp_path)
    again = tiny(**{"run.images": 120, "data.changed": "true"})
    assert runs.run(again, flipped, tmp_path).trainer.step == 10


def test_a_run_that_has_seen_more_images_than_it_should_says_so(digits, tmp_path):
    runs.run(tiny(), digits, tmp_path)
    with pytest.raises(ValueError, match=r"run\.images is 60, .* at step 8 already: .* than 96"):
        runs.run(tiny(**{"run.images": 60}), digits, tmp_path)
    said = []
    assert runs.run(tiny(), digits, tmp_path, echo=said.append).finished
    assert said == ["nothing to do: step 8 was the last of run.images = 96"]


def test_gradients_that_are_not_finite_change_nothing_and_end_the_run(digits, tmp_path):
    config = tiny(**{"run.patience": 3})
    trainer = Trainer(config, digits.shape, digits.classes)
    with Loader(digits, batch=12, workers=0) as loader:
        trainer.advance(next(loader))
        before = weights(trainer)
        parameter = next(trainer.network.parameters())
        hook = parameter.register_hook(lambda grad: grad * float("nan"))
        report = trainer.advance(next(loader))
        assert report.skipped
        assert same(before, weights(trainer))
        trainer.advance(next(loader))
        with pytest.raises(FloatingPointError, match="3 steps in a row, the last at step 4"):
            trainer.advance(next(loader))
        hook.remove()
        assert not trainer.advance(next(loader)).skipped
    assert trainer.skipped == 3


def test_a_full_disk_costs_a_checkpoint_and_not_the_training(digits, tmp_path, monkeypatch):
    said, real = [], storage.checkpoint.save

    def full(path, *rest):
        if "00000004" in str(path):
            raise OSError(28, "No space left on device")
        real(path, *rest)

    monkeypatch.setattr(storage.checkpoint, "save", full)
    out = runs.run(tiny(**{"run.save_every": 2}), digits, tmp_path, echo=said.append)
    assert out.finished
    assert len(said) == 1
    assert "step 4 is not saved" in said[0]
    assert [step for step, _ in storage.steps_of(tmp_path)] == [8, 6, 2]


def test_a_log_that_cannot_be_written_costs_its_lines(digits, tmp_path):
    said = []

    def watch(trainer, line):
        raise OSError(28, "No space left on device")

    assert runs.run(tiny(), digits, tmp_path, echo=said.append, watch=watch).finished
    assert len(said) == 4
    assert "step 2 is not in the log" in said[0]


def test_the_log_has_each_step_once_after_a_crash(digits, tmp_path):
    runs.run(tiny(**{"run.save_every": 4}), digits, tmp_path)
    for path in (tmp_path / "checkpoints").glob("step-00000008*"):
        path.unlink()
    runs.run(tiny(**{"run.save_every": 4}), digits, tmp_path)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 6, 8]


def test_a_line_of_the_log_that_a_full_disk_cut_does_not_stop_the_next_run(digits, tmp_path):
    config = tiny(**{"run.save_every": 4})
    runs.run(config, digits, tmp_path)
    for path in (tmp_path / "checkpoints").glob("step-00000008*"):
        path.unlink()
    log = tmp_path / "log.jsonl"
    first, *rest = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(first[:20] + first + b"".join(rest[1:]) + b'{"step": 9, "ima')
    assert runs.run(config, digits, tmp_path).finished
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [6, 8]


def test_a_line_is_in_the_log_whole_or_not_at_all(digits, tmp_path, monkeypatch):
    """The disk takes ten bytes of the second line."""
    real, written, said = open, [], []

    class Small(io.FileIO):
        def write(self, content):
            written.append(content)
            return super().write(content[:10] if len(written) == 2 else content)

    def opened(path, mode="r", **options):
        return Small(path, mode) if mode == "ab" else real(path, mode, **options)

    monkeypatch.setattr(runs, "open", opened, raising=False)
    assert runs.run(tiny(), digits, tmp_path, echo=said.append).finished
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == [2, 6, 8]
    assert len(said) == 1
    assert "step 4 is not in the log" in said[0]


def test_a_checkpoint_has_its_snapshots(digits, tmp_path, monkeypatch):
    """Whoever is killed while he saves has no checkpoint without the snapshot of its step."""
    saved, real = [], storage.checkpoint.save

    def killed(path, *rest):
        saved.append(path)
        if len(saved) == 2:
            raise KeyboardInterrupt
        real(path, *rest)

    monkeypatch.setattr(storage.checkpoint, "save", killed)
    config = tiny(averages='{a={kind="power"}}')
    trainer = Trainer(config, digits.shape, digits.classes)
    with pytest.raises(KeyboardInterrupt):
        storage.save(tmp_path, trainer, keep=2)
    assert storage.steps_of(tmp_path) == []
    assert (tmp_path / "snapshots" / "step-00000000-a.json").exists()


def test_damaged_checkpoints_of_later_steps_cost_no_whole_one(digits, tmp_path):
    trainer = Trainer(tiny(), digits.shape, digits.classes)
    for step in (2, 4, 6):
        trainer.step = step
        storage.save(tmp_path, trainer, keep=3)
    broken = tmp_path / "checkpoints" / "step-00000006.safetensors"
    broken.write_bytes(broken.read_bytes()[:-1])
    step, faults = storage.resumed(tmp_path, trainer)
    assert (step, len(faults)) == (4, 1)
    trainer.step = 5
    storage.save(tmp_path, trainer, keep=2)
    assert [step for step, _ in storage.steps_of(tmp_path)] == [6, 5, 4]


def test_more_images_than_a_checkpoint_knew_are_refused(digits, tmp_path):
    runs.run(tiny(), digits, tmp_path)
    more = open_source(digits.read(range(700))[0].numpy())
    words = r"by another training: (images was 800, now it is 700|classes was 10, now it is 0)"
    with pytest.raises(ValueError, match=words):
        runs.run(tiny(), more, tmp_path)


def test_images_without_labels_train_every_network_that_knows_classes(tmp_path, digits):
    plain = open_source(digits.read(range(60))[0].numpy())
    for preset in ("ddpm", "iddpm", "edm", "flow"):
        assert runs.run(tiny(preset), plain, tmp_path / preset).finished


def test_what_this_process_cannot_do_is_refused_before_the_first_step(digits):
    for changes, words in (
        ({"optimiser.precision": "float16"}, "'float16', which needs a CUDA device"),
        ({"network.name": "unet", "network.options": "{width=7}"}, "network.options of unet: "),
    ):
        with pytest.raises(ValueError, match=words):
            Trainer(tiny(**changes), digits.shape, digits.classes)
    config = tiny(**{"optimiser.accumulate": 12})
    with pytest.raises(ValueError, match="accumulate is 12, expected a divisor of the 6 images"):
        Trainer(config, digits.shape, digits.classes, Ranks(0, 2))
    words = "optimiser.batch is 12, expected a multiple of the 5 processes"
    with pytest.raises(ValueError, match=words):
        Trainer(tiny(), digits.shape, digits.classes, Ranks(0, 5))


def test_a_model_of_the_digits_own_network_is_loaded_as_its_preset(digits, tmp_path):
    config = tiny("edm", **{"network.name": "unet", "network.options": TINY["unet"]})
    out = runs.run(config, digits, tmp_path)
    save_trained(tmp_path / "model", out.trainer)
    assert load_model(tmp_path / "model").prediction == PRESETS["edm"].prediction


def test_sigterm_saves_and_a_second_run_finishes(digits, tmp_path):
    with started(WORKER, tmp_path, WORKER_SLEEP="0.05") as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            if "step 2" in line:
                break
        worker.send_signal(signal.SIGTERM)
        rest = worker.stdout.read()
    assert worker.returncode == 0, rest
    (step, _), *_ = storage.steps_of(tmp_path)
    assert 2 <= step < 8
    again = started(WORKER, tmp_path)
    said, _ = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert f"going on after step {step}" in said
    alone = runs.run(tiny(), digits, tmp_path / "alone")
    trainer = Trainer(tiny(), digits.shape, digits.classes)
    assert storage.resumed(tmp_path, trainer)[0] == 8
    assert same(weights(trainer), weights(alone.trainer))


@pytest.mark.slow
def test_two_and_three_ranks_train_what_one_does(tmp_path):
    lines = {}
    for ranks in (1, 2, 3):
        worker = started(WORKER, tmp_path / str(ranks), ranks=ranks)
        said, _ = worker.communicate(timeout=300)
        assert worker.returncode == 0, said
        log = (tmp_path / str(ranks) / "log.jsonl").read_text().splitlines()
        lines[ranks] = [json.loads(line)["loss"] for line in log]
    for ranks in (2, 3):
        assert lines[ranks] == pytest.approx(lines[1], rel=1e-5)


@pytest.mark.slow
def test_a_rank_that_dies_ends_all_and_the_same_command_goes_on(tmp_path):
    worker = started(WORKER, tmp_path, ranks=2, WORKER_DIES="1")
    said, _ = worker.communicate(timeout=200)
    assert worker.returncode != 0, said
    assert [step for step, _ in storage.steps_of(tmp_path)] == [2]
    worker = started(WORKER, tmp_path, ranks=2)
    said, _ = worker.communicate(timeout=200)
    assert worker.returncode == 0, said
    assert "going on after step 2" in said
    assert storage.steps_of(tmp_path)[0][0] == 8


def test_parts_of_a_batch_draw_by_what_was_known_before_it(digits):
    """With a resampler the levels of a step are those of the whole batch, however it is cut."""
    states = []
    for parts in (1, 3):
        config = tiny("iddpm", importance="true", **{"optimiser.accumulate": str(parts)})
        trainer = Trainer(config, digits.shape, digits.classes)
        resampler = trainer.resampler
        resampler._losses[:] = np.linspace(0.1, 3.0, len(resampler.levels))[:, None]
        resampler._seen[:] = 10
        with Loader(digits, batch=12, workers=0) as loader:
            for _ in range(3):
                trainer.advance(next(loader))
        states.append(resampler.state_dict())
    assert torch.equal(states[0]["seen"], states[1]["seen"])
    torch.testing.assert_close(states[0]["losses"], states[1]["losses"], rtol=1e-4, atol=1e-6)
