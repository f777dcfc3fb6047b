# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pydiffcore.networks import Classifier


def test_logits_are_a_linear_function_of_the_features():
    torch.manual_seed(0)
    judge = Classifier(features=24).eval()
    x = torch.randn(6, 1, 8, 8)
    features = judge.features(x)
    assert features.shape == (6, 24)
    torch.testing.assert_close(judge(x), features @ judge.head.weight.T + judge.head.bias)


def test_other_sizes():
    assert Classifier(channels=3, size=16, classes=4)(torch.zeros(2, 3, 16, 16)).shape == (2, 4)


@pytest.mark.parametrize("size", [0, 6])
def test_wrong_size_is_named(size):
    with pytest.raises(ValueError, match=f"size is {size}"):
        Classifier(size=size)
