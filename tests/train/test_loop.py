# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
import torch

from pydiffcore.train import Recipe, Training, load_training, save_training, train
from pydiffcore.train.loop import _chosen, learning_rate

pytest.importorskip("safetensors", reason="checkpoints are safetensors")

TINY = Recipe(steps=6, batch=16, warmup=2, width=8, embedding=16, half_life=5)
IMAGES = torch.randint(256, (40, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator())
LABELS = torch.arange(40) % 10


def run(state, steps=None):
    for progress in train(state, IMAGES, LABELS):
        if progress.step == steps:
            break
    return state


def weights(state):
    return {**state.network.state_dict(), **{f"ema.{k}": v for k, v in
            state.ema.state_dict().items()}}  # fmt: skip


def assert_same(a, b):
    assert a.losses == b.losses
    for name, tensor in weights(a).items():
        assert torch.equal(tensor, weights(b)[name]), name


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path):
    whole = run(Training.start(TINY))
    half = run(Training.start(TINY), steps=3)
    assert half.step == 3
    save_training(tmp_path / "half", half)
    torch.manual_seed(123)  # the state of torch's own generator must not matter
    resumed = load_training(tmp_path / "half", TINY)
    assert_same(half, resumed)
    assert_same(run(resumed), whole)


def test_same_seed_same_weights_other_seed_other_weights():
    first = run(Training.start(TINY))
    assert_same(first, run(Training.start(TINY)))
    other = run(Training.start(dataclasses.replace(TINY, seed=1)))
    assert not torch.equal(first.network.enter.weight, other.network.enter.weight)


def test_torch_generator_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(Training.start(TINY), steps=2)
    assert torch.equal(torch.rand(3), expected)


def test_it_learns():
    recipe = dataclasses.replace(TINY, steps=80, batch=40, learning_rate=1e-2)
    state = Training.start(recipe)
    bars = torch.where(torch.arange(8) < LABELS[:, None, None, None] % 8, 255, 0).to(torch.uint8)
    list(train(state, bars.expand(40, 1, 8, 8), LABELS))
    assert np.mean(state.losses[-10:]) < 0.7 * np.mean(state.losses[:5])


def test_every_epoch_shows_every_image_once():
    recipe = dataclasses.replace(TINY, batch=24)
    shown = torch.cat([_chosen(recipe, step, 40) for step in range(10)]).view(6, 40)
    assert torch.equal(shown.sort(dim=1).values, torch.arange(40).expand(6, 40))
    assert not torch.equal(shown[0], shown[1])


def test_batches_may_be_larger_than_the_data():
    shown = _chosen(dataclasses.replace(TINY, batch=100), 0, 40)
    assert sorted(shown.bincount().tolist()) == [2] * 20 + [3] * 20


def test_rate_rises_and_falls_to_nothing():
    recipe = Recipe(steps=1000, warmup=100, learning_rate=1.0)
    rates = [learning_rate(recipe, step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert np.argmax(rates) in range(95, 105)
    assert rates[500] == pytest.approx(0.5)
    assert rates[-1] < 1e-5


def test_loss_that_is_not_finite_stops():
    state = Training.start(TINY)
    with torch.no_grad():
        state.network.leave.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="nan at step 1"):
        run(state)


def test_data_that_do_not_fit():
    with pytest.raises(ValueError, match="40 and 39"):
        next(train(Training.start(TINY), IMAGES, LABELS[:39]))


@pytest.mark.parametrize(
    "field", [{"steps": 0}, {"batch": 0}, {"dropout": 1.0}, {"label_dropout": -0.1}, {"seed": -1}]
)
def test_recipes_out_of_range(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        Recipe(**field)


def test_another_recipe_is_refused(tmp_path):
    save_training(tmp_path / "t", Training.start(TINY))
    with pytest.raises(ValueError, match=r"another recipe: steps was 6, now 7"):
        load_training(tmp_path / "t", dataclasses.replace(TINY, steps=7))
