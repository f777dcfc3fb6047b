# SPDX-License-Identifier: Apache-2.0
"""A copy of a scheduler goes on with the run where the scheduler stood, and alone."""

import copy
import pickle
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

COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda s: pickle.loads(pickle.dumps(s)),
}


@pytest.mark.parametrize("noise", ["torch", "seeded"])
@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", NAMES)
def test_a_copy_goes_on_as_the_scheduler_would(name, how, noise):
    def plain():
        scheduler = made(ours, name)
        scheduler.noise = noise
        return scheduler

    def copied(i, scheduler):
        again = COPIES[how](scheduler) if i in (3, 4) else scheduler
        again.noise = noise
        return again

    assert torch.equal(loop(plain(), copied), loop(plain()))


@pytest.mark.parametrize("name", sorted(set(HISTORY) - {"DPMSolverSDEScheduler"}))
def test_the_copy_s_numbers_are_diffusers(name):
    def copied(i, scheduler):
        return copy.deepcopy(scheduler) if i == 3 else scheduler

    assert worst(loop(made(ours, name), copied), loop(made(diffusers, name), copied)) <= 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_a_scheduler_and_its_copy_are_independent(name):
    expected = loop(made(ours, name))
    scheduler = made(ours, name)
    x, generator = start(scheduler), torch.Generator().manual_seed(7)
    other, draws, ends = None, None, []
    for i, t in enumerate(scheduler.timesteps):
        if i == 3:
            other, y = copy.deepcopy(scheduler), x.clone()
            draws = torch.Generator()
            draws.set_state(generator.get_state())
        x = stepped(scheduler, t, x, generator)
        ends.append(x)
        if other is not None:
            y = stepped(other, t, y, draws)
            assert torch.equal(x, y)
    assert torch.equal(torch.stack(ends), expected)


@pytest.mark.parametrize("name", ["DPMSolverSDEScheduler"])
def test_a_tree_of_no_seed_is_copied_too(name):
    scheduler = getattr(ours, name)()
    scheduler.set_timesteps(6)
    x = start(scheduler)
    t, generator = scheduler.timesteps[0], None
    x = stepped(scheduler, t, x, generator)
    other = copy.deepcopy(scheduler)
    t = scheduler.timesteps[1]
    assert torch.equal(stepped(scheduler, t, x, generator), stepped(other, t, x, generator))


def panorama(library, name, **config):
    """Two views that take turns, as StableDiffusionPanoramaPipeline restores attributes."""
    scheduler = made(library, name, **config)
    views = [start(scheduler), 0.5 * start(scheduler)]
    kept, generator = [copy.deepcopy(scheduler.__dict__)] * 2, torch.Generator().manual_seed(7)
    states = []
    for t in scheduler.timesteps:
        for j in range(2):
            scheduler.__dict__.update(kept[j])
            views[j] = stepped(scheduler, t, views[j], generator)
            kept[j] = copy.deepcopy(scheduler.__dict__)
            states.append(views[j])
    return torch.stack(states)


# Of theirs torchsde's tree cannot be copied, and both views append to the one list of IPNDM.
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"DPMSolverSDEScheduler", "IPNDMScheduler"}))
def test_views_that_take_turns(name):
    found, expected = (panorama(library, name) for library in (ours, diffusers))
    assert worst(found, expected) <= 1e-5
