# SPDX-License-Identifier: Apache-2.0
"""What callers look for in a scheduler, and timesteps that they cut themselves."""

import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers", reason="diffusers is not installed")
pytest.importorskip("torchsde", reason="torchsde is not installed")
sys.path.insert(0, str(Path(__file__).parent))
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Should have:UserWarning"),
]

import diffusers  # noqa: E402
from loops import HISTORY, NAMES, loop, made, start, stepped, worst  # noqa: E402

import pydiffcore.adapters.diffusers as ours  # noqa: E402

LOOKED_FOR = ("add_noise", "scale_noise", "get_velocity", "set_begin_index", "step_index", "step")
HEUN = ("HeunDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
STAGES = (*HEUN, "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler")


@pytest.mark.parametrize("name", NAMES)
def test_a_scheduler_has_what_theirs_has(name):
    found, expected = (
        [hasattr(getattr(library, name)(), each) for each in LOOKED_FOR]
        for library in (ours, diffusers)
    )
    assert found == expected


@pytest.mark.parametrize("name", STAGES)
def test_which_call_of_a_step_comes(name):
    seen = []
    for library in (ours, diffusers):
        orders = []
        loop(made(library, name), lambda _, s, o=orders: o.append(s.state_in_first_order) or s)
        seen.append(orders)
    assert seen[0] == seen[1] == [i % 2 == 0 for i in range(len(seen[0]))]


@pytest.mark.parametrize("skip", [True, False])
def test_pndm_counts_its_calls(skip):
    seen = []
    for library in (ours, diffusers):
        counts, scheduler = [], made(library, "PNDMScheduler", skip_prk_steps=skip)
        loop(scheduler, lambda _, s, c=counts: c.append(s.counter) or s)
        seen.append([*counts, scheduler.counter])
    assert seen[0] == seen[1]


@pytest.mark.parametrize("n", [8, 20])
@pytest.mark.parametrize("first", [2, 5])
@pytest.mark.parametrize("name", sorted(set(HISTORY) - {"DPMSolverSDEScheduler"}))
def test_timesteps_that_the_caller_cut(name, first, n):
    first += first % 2 * (name in HEUN)

    def cut(library):
        scheduler = made(library, name, n)
        scheduler.timesteps = scheduler.timesteps[first:]
        return loop(scheduler)

    assert worst(cut(ours), cut(diffusers)) <= 1e-5


@pytest.mark.parametrize("name", HEUN)
def test_timesteps_that_are_cut_within_a_step_are_refused(name):
    scheduler = made(ours, name)
    scheduler.timesteps = scheduler.timesteps[1:]
    with pytest.raises(ValueError, match="in the middle of a step: expected them to be cut"):
        loop(scheduler)


def test_too_few_levels_are_named():
    scheduler = made(ours, "DEISMultistepScheduler")
    scheduler.sigmas = scheduler.sigmas[2:]
    with pytest.raises(IndexError, match="sigmas has 5 levels, expected 7 for 6 timesteps"):
        loop(scheduler)


@pytest.mark.parametrize("begin", [1, 3, 9])
def test_dpm_2_ancestral_from_a_second_call(begin):
    """The last call of theirs divides nothing by nothing; ours leaves the state as it is."""
    states = []
    for library in (ours, diffusers):
        scheduler = made(library, "KDPM2AncestralDiscreteScheduler")
        scheduler.set_begin_index(begin)
        x, generator, each = start(scheduler), torch.Generator().manual_seed(7), []
        for t in scheduler.timesteps[begin:]:
            x = stepped(scheduler, t, x, generator)
            each.append(x)
        states.append(torch.stack(each))
    assert worst(states[0][:-1], states[1][:-1]) <= 1e-5
    assert bool(states[0][-1].isfinite().all())
    assert bool(states[1][-1].isnan().all())
