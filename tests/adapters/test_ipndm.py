# SPDX-License-Identifier: Apache-2.0
"""iPNDM used again and again without set_timesteps, where its history outlasts the loops."""

import math

import numpy as np
import pytest
import torch

import pydiffcore.adapters.diffusers as ours
from pydiffcore.adapters.diffusers.recipe import plan_of

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")


def made(library, n):
    """A scheduler of n steps that begins below 1, where a second loop divides by no cosine of 0."""
    sines = [math.sin(1.3 * (1 - i / n)) for i in range(n + 1)]
    scheduler = library.IPNDMScheduler(trained_betas=sines)
    scheduler.set_timesteps(n)
    return scheduler


def loops(scheduler, count, begin=None):
    """States after each step of all loops, and the index that each step left."""
    if begin is not None:
        scheduler.set_begin_index(begin)
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    states, places = [], []
    for _ in range(count):
        scheduler._step_index = None
        for t in scheduler.timesteps[begin or 0 :]:
            x = scheduler.step(0.5 * torch.tanh(x), t, x).prev_sample
            states.append(x)
            places.append(scheduler.step_index)
    return torch.stack(states), places


@pytest.mark.parametrize(("n", "begin"), [(1, None), (2, None), (3, None), (7, None), (7, 4)])
def test_any_number_of_loops(n, begin):
    found, expected = (loops(made(library, n), 9, begin) for library in (ours, diffusers))
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-5)
    assert found[1] == expected[1]


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_the_rows_of_a_loop_are_those_of_the_next(n):
    scheduler = made(ours, n)
    for begin in range(n):
        recipe = scheduler.family.recipe(scheduler, begin, {})
        plan, (first, last) = plan_of(recipe), recipe.cycle
        assert last - first + 1 == n
        for table in (plan.A, plan.B, plan.registers_in, plan.registers_out):
            np.testing.assert_array_equal(table[first], table[last + 1])


def test_a_run_begun_again_after_the_last_step_has_no_history():
    scheduler, x = made(ours, 5), torch.ones(1, 3, 4, 4)
    found = []
    for _ in range(6):
        y = x
        for t in scheduler.timesteps:
            y = scheduler.step(torch.tanh(y), t, y).prev_sample
        found.append(y)
    assert all(torch.equal(each, found[0]) for each in found)
