# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pydiffcore.evaluate import Yardstick, frechet
from pydiffcore.networks import Classifier


@pytest.fixture
def yardstick():
    torch.manual_seed(0)
    images = torch.rand(300, 1, 8, 8) * 2 - 1
    return Yardstick(
        Classifier(classes=2).eval(),
        images[:100],
        torch.arange(100) % 2,
        images[100:],
        torch.arange(200) % 2,
    )


def test_copies_score_the_floor_and_are_called_copies(yardstick):
    score = yardstick.score(yardstick.training, yardstick.training_labels)
    assert score.frechet == pytest.approx(yardstick.floor)
    assert score.ratio == pytest.approx(1)
    assert score.memorisation.share_near == 1


def test_floor_is_between_training_and_reference(yardstick):
    judge = yardstick.judge
    expected = frechet(
        judge.features(yardstick.training).detach(), judge.features(yardstick.reference).detach()
    )
    assert yardstick.floor == pytest.approx(expected)


def test_other_images_score_worse(yardstick):
    labels = torch.arange(100) % 2
    assert yardstick.score(torch.zeros(100, 1, 8, 8), labels).ratio > 2


def test_as_many_samples_of_each_class_as_training_images(yardstick):
    labels = torch.tensor([1] * 70 + [0] * 60 + [1] * 10)
    chosen = yardstick.matched(labels)
    assert len(chosen) == 100
    assert labels[chosen].bincount().tolist() == [50, 50]
    assert chosen.tolist() == [*range(70, 120), *range(50)]


def test_agreement_counts_all_samples(yardstick):
    samples = torch.rand(400, 1, 8, 8)
    seen = yardstick.judge(samples).argmax(1)
    labels = torch.arange(400) % 2
    expected = float((seen == labels).double().mean())
    assert yardstick.score(samples, labels).agreement == expected
    assert yardstick.score(samples, 1 - labels).agreement == pytest.approx(1 - expected)


def test_accuracy_is_the_agreement_with_the_reference(yardstick):
    right = yardstick.judge(yardstick.reference).argmax(1) == yardstick.reference_labels
    assert yardstick.accuracy == pytest.approx(float(right.double().mean()))


def test_too_few_samples_are_named(yardstick):
    with pytest.raises(ValueError, match="49 samples of class 1, expected at least 50"):
        yardstick.score(torch.zeros(100, 1, 8, 8), torch.tensor([0] * 51 + [1] * 49))
