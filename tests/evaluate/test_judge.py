# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pydiffcore.evaluate import agreement, features, train_judge
from pydiffcore.evaluate.judge import _moved


def bars(count, seed):
    """Two classes: a horizontal or a vertical bar at a random place."""
    generator = torch.Generator().manual_seed(seed)
    x0, labels = -torch.ones(count, 1, 8, 8), torch.arange(count) % 2
    for image, label in zip(x0, labels, strict=True):
        place = int(torch.randint(2, 6, (), generator=generator))
        image[0, place] = 1 - 2 * float(label)
        image[0, :, place] = 2 * float(label) - 1
    return x0, labels


@pytest.fixture(scope="module")
def judge():
    return train_judge(*bars(60, 0), steps=60)


def test_it_learns_what_it_was_not_shown(judge):
    assert agreement(judge, *bars(100, 1)) > 0.95
    x0, labels = bars(100, 1)
    assert agreement(judge, x0, 1 - labels) < 0.05


def test_features_are_those_of_the_last_layer(judge):
    x0, _ = bars(10, 2)
    assert features(judge, x0).shape == (10, 32)
    assert torch.equal(features(judge, x0), judge.features(x0))


def test_same_seed_same_judge_and_torch_generator_is_left_alone(judge):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = train_judge(*bars(60, 0), steps=60)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(again.head.weight, judge.head.weight)
    assert not torch.equal(train_judge(*bars(60, 0), steps=1, seed=1).head.weight,
                           train_judge(*bars(60, 0), steps=1).head.weight)  # fmt: skip


def test_shifts_move_and_fill_with_background():
    x0 = torch.arange(16.0).view(1, 1, 4, 4)
    assert torch.equal(_moved(x0, torch.tensor([[1, 1]])), x0)
    up = _moved(x0, torch.tensor([[2, 1]]))
    assert torch.equal(up[..., :3, :], x0[..., 1:, :])
    assert (up[..., 3, :] == -1).all()
    right = _moved(x0, torch.tensor([[1, 0]]))
    assert torch.equal(right[..., 1:], x0[..., :3])
    assert (right[..., 0] == -1).all()


def test_bad_input_is_named(judge):
    x0, labels = bars(4, 0)
    with pytest.raises(ValueError, match="as many labels as images"):
        train_judge(x0, labels[:3])
    with pytest.raises(ValueError, match="at least one step"):
        train_judge(x0, labels, steps=0)
    with pytest.raises(ValueError, match="4 and 3 entries"):
        agreement(judge, x0, labels[:3])
