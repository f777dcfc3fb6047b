# SPDX-License-Identifier: Apache-2.0
"""What set_timesteps is called with: refused where diffusers' own refuses it."""

import inspect

import pytest
import torch

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

import pydiffcore.adapters.diffusers as ours  # noqa: E402
from pydiffcore.adapters.diffusers.names import FAMILIES  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # theirs, under NumPy 2


def pair(name):
    return getattr(diffusers, name)(), getattr(ours, name)()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("wrong", ["twice", "unknown", "too many", "missing"])
def test_wrong_arguments_are_refused(name, wrong):
    theirs, mine = pair(name)
    first, *rest = list(inspect.signature(theirs.set_timesteps).parameters.values())
    if wrong == "missing" and first.default is not inspect.Parameter.empty:
        pytest.skip(f"{first.name} has a default")
    args, kwargs = {
        "twice": ((10,), {first.name: 10}),
        "unknown": ((10,), {"nothing": 1}),
        "too many": ((10, *[None] * (len(rest) + 1)), {}),
        "missing": ((), {}),
    }[wrong]
    for scheduler in (theirs, mine):
        with pytest.raises(TypeError):
            scheduler.set_timesteps(*args, **kwargs)


@pytest.mark.parametrize("name", FAMILIES)
def test_position_and_name_are_the_same(name):
    _, mine = pair(name)
    first = next(iter(inspect.signature(mine.set_timesteps).parameters))
    mine.set_timesteps(10)
    positional = mine.timesteps
    mine.set_timesteps(**{first: 10})
    assert torch.equal(mine.timesteps, positional)


def test_a_class_of_ones_own_may_ask_for_more():
    class Mine(ours.DDIMScheduler):
        def set_timesteps(self, n, device=None, strength=1.0):
            super().set_timesteps(n, device, strength)

    with pytest.raises(TypeError, match="too many positional"):
        Mine().set_timesteps(10)
