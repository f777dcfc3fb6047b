# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pydiffcore.train.seeded import seeded


def test_draws_are_the_seeds_and_the_generator_is_given_back():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with seeded((3 << 40) + 7, torch.device("cpu")):
        drawn = torch.randn(4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed((3 << 40) + 7)
    assert torch.equal(torch.randn(4), drawn)


def test_given_back_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded(1, torch.device("cpu")):
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), before)
