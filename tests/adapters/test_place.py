# SPDX-License-Identifier: Apache-2.0
"""Timesteps that a scheduler has no step at: refused as diffusers does, by name."""

import math

import numpy as np
import pytest
import torch

import pydiffcore.adapters.diffusers as ours

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
BY_TIME = sorted(name for name, family in ours.FAMILIES.items() if family.by_time)
NONE_OF_A_TABLE = [
    12.5, torch.tensor(12.5), torch.tensor(5000), 5000, -1001, math.nan, math.inf, "a", None,
    torch.tensor([1, 2]),
]  # fmt: skip
NONE_OF_A_TIME = [5000.0, torch.tensor(5000.0), -5000.0, math.nan, math.inf, "a", None]


def step(library, name, timestep):
    scheduler = getattr(library, name)()
    scheduler.set_timesteps(5)
    x = torch.full((2, 3, 4, 4), 0.5)
    return getattr(scheduler, ours.FAMILIES[name].step)(0.5 * x, timestep, x)[0]


@pytest.mark.parametrize(
    ("name", "timestep"),
    [
        (name, timestep)
        for name in BY_TIME
        for timestep in (NONE_OF_A_TIME if name == "ScoreSdeVeScheduler" else NONE_OF_A_TABLE)
    ],
)
def test_an_impossible_timestep_is_named(name, timestep):
    with pytest.raises((IndexError, TypeError, RuntimeError), match=r"^timestep (is|has)") as mine:
        step(ours, name, timestep)
    assert "expected" in str(mine.value)
    with pytest.raises((IndexError, TypeError, RuntimeError, AttributeError)) as theirs:
        step(diffusers, name, timestep)
    if theirs.type in (IndexError, RuntimeError):
        assert mine.type is theirs.type


@pytest.mark.parametrize("of", [int, float, np.int64, np.float32, np.array, torch.tensor])
def test_a_timestep_may_be_any_number(of):
    torch.testing.assert_close(
        step(ours, "DDIMScheduler", of(123)), step(diffusers, "DDIMScheduler", 123)
    )
