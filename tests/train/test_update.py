# SPDX-License-Identifier: Apache-2.0
"""A step in native calls does what torch's operations do, and finds tensors that were replaced."""

import copy

import pytest
import torch
from torch import nn

from pydiffcore.train.adamw import AdamW
from pydiffcore.train.average import paired, started
from pydiffcore.train.ranks import Ranks
from pydiffcore.train.update import Update

OPTIONS = {"lr": 3e-2, "betas": (0.9, 0.95), "weight_decay": 0.1, "fused": True}
BETAS = {"slow": 0.99, "fast": 0.4}


class Network(nn.Module):
    def __init__(self, keeps=False):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 40), nn.Linear(40, 2))
        self.register_buffer("count", torch.zeros(()))
        self.unused = nn.Parameter(torch.ones(3))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        if keeps:
            self.normalise_weights = self.to_unit_length

    @torch.no_grad()
    def to_unit_length(self):
        for each in self.layers.parameters():
            each.div_(each.norm())


class Side:
    """A network with optimiser, averages and update, native or by torch."""

    def __init__(self, native, keeps=False, dtype=torch.float32):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.network = Network(keeps).to(dtype)
        self.averages = started(self.network, dict.fromkeys(BETAS))
        learned = [each for each in self.network.parameters() if each.requires_grad]
        self.optimiser = AdamW(learned, **OPTIONS)
        pairs = {name: paired(each, self.network) for name, each in self.averages.items()}
        self.update = Update(learned, self.optimiser, pairs, (self.network, None), Ranks(),
                             torch.amp.GradScaler("cpu", enabled=False))  # fmt: skip
        if not native:
            self.update._found = lambda: None

    def step(self, k, limit=None):
        generator = torch.Generator().manual_seed(k)
        for each in self.network.layers.parameters():
            each.grad = torch.randn(each.shape, generator=generator).to(each.dtype)
        self.network.count += 1
        with torch.no_grad():
            self.network.frozen += 1  # as somebody may who froze it
        norm = self.update.norm(limit)
        self.update.step(BETAS)
        return norm

    def tensors(self):
        states = self.optimiser.state_dict()["state"].values()
        return [
            *self.network.state_dict().values(),
            *(t for each in self.averages.values() for t in each.state_dict().values()),
            *(t for state in states for t in state.values()),
        ]


def alike(one, other, **tolerance):
    found = one.tensors()
    assert len(found) >= len(other.tensors())  # torch has no moments of a weight without gradients
    for a, b in zip(one.network.state_dict().values(), other.network.state_dict().values(),
                    strict=True):  # fmt: skip
        torch.testing.assert_close(a, b, **tolerance)
    for name in BETAS:
        pairs = zip(one.averages[name].state_dict().values(),
                    other.averages[name].state_dict().values(), strict=True)  # fmt: skip
        for a, b in pairs:
            torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("limit", [None, 2.0, 1e6])
def test_native_and_torch_agree(keeps, limit):
    native, plain = Side(True, keeps), Side(False, keeps)
    for k in range(12):
        norms = native.step(k, limit), plain.step(k, limit)
        assert norms[0] == pytest.approx(norms[1], rel=1e-6)
        assert native.update._weights is not None
        assert plain.update._weights is None
    alike(native, plain, rtol=2e-5, atol=2e-6)


def test_a_loaded_state_and_replaced_memory_are_found():
    one, other = Side(True), Side(True)
    for k in range(3):
        one.step(k)
    other.step(99)
    other.network.load_state_dict(one.network.state_dict())
    for name, each in other.averages.items():
        each.load_state_dict(one.averages[name].state_dict())
    other.optimiser.load_state_dict(copy.deepcopy(one.optimiser.state_dict()))
    for k in range(3, 6):
        for module in (other.network, *other.averages.values())[k - 3 : k - 1]:
            for each in module.parameters():
                each.data = each.data.clone()  # as a move between devices leaves it
        one.step(k)
        other.step(k)
    alike(one, other, rtol=0, atol=0)


def test_an_average_that_was_laid_out_anew_is_moved_by_torch():
    sides = Side(True), Side(False)
    for k in range(4):
        if k == 2:
            for side in sides:
                weight = side.averages["slow"].layers[0].weight
                weight.data = weight.data.T.contiguous().T
        for side in sides:
            side.step(k)
    assert sides[0].update._weights is None
    alike(*sides, rtol=2e-5, atol=2e-6)


def test_other_dtypes_are_torchs():
    side = Side(True, dtype=torch.float64)
    before = side.network.layers[0].weight.clone()
    side.step(0)
    assert side.update._weights is None
    assert not torch.equal(before, side.network.layers[0].weight)


def test_a_step_that_is_left_out_changes_nothing():
    side = Side(True)
    before = [each.clone() for each in side.network.parameters()]
    for each in side.network.layers.parameters():
        each.grad = torch.full_like(each, float("nan"))
    assert not torch.tensor(side.update.norm(1.0)).isfinite()
    assert all(torch.equal(a, b) for a, b in zip(before, side.network.parameters(), strict=True))
