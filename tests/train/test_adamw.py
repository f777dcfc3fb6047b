# SPDX-License-Identifier: Apache-2.0
"""Steps at once have the bits of torch's own fused AdamW, and its state."""

import copy

import pytest
import torch

from pydiffcore.train.adamw import AdamW

OPTIONS = {"lr": 3e-2, "betas": (0.9, 0.95), "weight_decay": 0.1, "fused": True}


def network():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return torch.nn.Sequential(torch.nn.Linear(5, 33), torch.nn.Linear(33, 2))


def gradients_of(model, k, without=None):
    generator = torch.Generator().manual_seed(k)
    for place, each in enumerate(model.parameters()):
        drawn = torch.randn(each.shape, generator=generator)
        each.grad = None if place == without else drawn


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("without", [None, 0, 3])
def test_same_bits_as_torch(without):
    ours, theirs = network(), network()
    at_once = AdamW(ours.parameters(), **OPTIONS)
    plain = torch.optim.AdamW(theirs.parameters(), **OPTIONS)
    for k in range(6):
        for model in (ours, theirs):
            gradients_of(model, k, without if k == 2 else None)
        for group in (*at_once.param_groups, *plain.param_groups):
            group["lr"] = 0.01 * (k + 1)
        at_once.step_at_once()
        plain.step()
        assert same(ours, theirs)
    found, wanted = (o.state_dict()["state"] for o in (at_once, plain))
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_a_state_that_is_loaded_is_the_one_that_is_used():
    ours, theirs = network(), network()
    one, other = AdamW(ours.parameters(), **OPTIONS), AdamW(theirs.parameters(), **OPTIONS)
    for k in range(3):
        gradients_of(ours, k)
        one.step_at_once()
    gradients_of(theirs, 99)
    other.step_at_once()
    other.step_at_once()
    theirs.load_state_dict(ours.state_dict())
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for k in range(3, 6):
        for model, optimiser in ((ours, one), (theirs, other)):
            gradients_of(model, k)
            optimiser.step_at_once()
    assert same(ours, theirs)
