# SPDX-License-Identifier: Apache-2.0
"""Consecutive steps of a run on different threads."""

import asyncio
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
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
from loops import HISTORY, NAMES, SHAPE, loop, made, start, stepped, worst  # noqa: E402

import pydiffcore.adapters.diffusers as ours  # noqa: E402

EDITS = {"as it is": None, "edited": lambda x: 0.9 * x + 0.05, "in place": lambda x: x.mul_(0.9)}
TIMES = {
    "elements": lambda s: list(s.timesteps),
    "copies": lambda s: [t.clone() for t in s.timesteps],
    "numbers": lambda s: s.timesteps.tolist(),
}


class Threads:
    """Runs work on one of several threads."""

    def __init__(self, n):
        self.pools = [ThreadPoolExecutor(1) for _ in range(n)]

    def __call__(self, k, work, *given):
        return self.pools[k % len(self.pools)].submit(work, *given).result(60)


def in_new_thread(_, work, *given):
    found = []
    thread = threading.Thread(target=lambda: found.append(work(*given)))
    thread.start()
    thread.join()
    return found[0]


def hopped(scheduler, on, times=TIMES["elements"], edit=None, begin=0):
    """States of a run each of whose steps is on a thread of its own choice."""
    x, generator, states = start(scheduler), torch.Generator().manual_seed(7), []
    for i, t in enumerate(times(scheduler)[begin:]):
        x = on(i, stepped, scheduler, t, x, generator)
        x = edit(x) if edit else x
        states.append(x)
    return torch.stack(states)


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("name", NAMES)
def test_two_threads_take_turns(name, times, edit):
    found = hopped(made(ours, name), Threads(2), TIMES[times], EDITS[edit])
    assert torch.equal(found, loop(made(ours, name), edit=EDITS[edit]))


@pytest.mark.parametrize("name", sorted(set(HISTORY) - {"DPMSolverSDEScheduler"}))
def test_a_new_thread_for_each_step(name):
    found = hopped(made(ours, name), in_new_thread)
    assert worst(found, loop(made(diffusers, name))) <= 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_timesteps_are_set_on_one_of_the_threads(name):
    on, scheduler = Threads(3), made(ours, name, 9)
    for k, n in enumerate((5, 6, 5, 7)):
        on(k, scheduler.set_timesteps, n)
        if hasattr(scheduler, "set_sigmas"):
            on(k, scheduler.set_sigmas, n)
        times = on(k, lambda: list(scheduler.timesteps))
        found = hopped(scheduler, lambda i, *work, k=k: on(i + k, *work), lambda _, t=times: t)
        assert torch.equal(found, loop(made(ours, name, n)))


@pytest.mark.parametrize("name", HISTORY)
def test_a_partial_run_takes_turns(name):
    def begun():
        scheduler = made(ours, name, 8)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(2 * scheduler.order)
        return scheduler

    found = hopped(begun(), Threads(2), begin=2 * begun().order)
    expected = hopped(begun(), lambda _, work, *given: work(*given), begin=2 * begun().order)
    assert torch.equal(found, expected)


def test_of_asyncio():
    async def run(scheduler):
        x = start(scheduler)
        for t in scheduler.timesteps:
            x = await asyncio.to_thread(stepped, scheduler, t, x, None)
        return x

    name = "DPMSolverMultistepScheduler"
    assert torch.equal(asyncio.run(run(made(ours, name))), loop(made(ours, name))[-1])


def test_a_worker_follows_the_timesteps_that_were_set_after_its_run():
    scheduler, on = made(ours, "EulerDiscreteScheduler"), Threads(1)
    for n in (6, 4, 9):
        scheduler.set_timesteps(n)
        found = hopped(scheduler, on)
        assert torch.equal(found, loop(made(ours, "EulerDiscreteScheduler", n)))


def test_a_run_that_was_broken_off_on_a_worker_is_forgotten():
    for times in TIMES.values():
        scheduler, on = made(ours, "DPMSolverMultistepScheduler"), Threads(1)
        for i, t in enumerate(scheduler.timesteps[:3]):
            on(i, stepped, scheduler, t, start(scheduler), None)
        scheduler.set_timesteps(9)
        found = hopped(scheduler, on, times)
        assert torch.equal(found, loop(made(ours, "DPMSolverMultistepScheduler", 9)))


def two_runs(edit=None):
    """A scheduler with two runs of one schedule, each two steps far on a thread of its own."""
    scheduler, on = made(ours, "DPMSolverMultistepScheduler"), Threads(3)
    states = []
    for k in range(2):
        x = start(scheduler) * (1 + k)
        for t in scheduler.timesteps[:2]:
            x = on(k, stepped, scheduler, t, x, None)
        states.append(x)
    return scheduler, on, states


def test_a_state_tells_which_of_two_runs_it_is_of():
    scheduler, on, states = two_runs()
    for k in (1, 0):
        other, there, same = two_runs()
        expected = there(k, stepped, other, other.timesteps[2], same[k], None)
        found = on(2, stepped, scheduler, scheduler.timesteps[2], states[k], None)
        assert torch.equal(found, expected)


def test_a_step_of_one_of_two_runs_is_refused():
    scheduler, on, states = two_runs()
    with pytest.raises(ValueError, match=r"timestep is .* 2 stand before it, . of which"):
        on(2, stepped, scheduler, scheduler.timesteps[2], states[0].clone(), None)
    own = on(0, stepped, scheduler, scheduler.timesteps[2], states[0].clone(), None)
    other, there, same = two_runs()
    assert torch.equal(own, there(0, stepped, other, other.timesteps[2], same[0], None))


def test_a_step_that_no_run_stands_before_is_refused():
    scheduler, on, states = two_runs()
    with pytest.raises(ValueError, match=r"timestep is .* 0 stand before it"):
        on(2, stepped, scheduler, scheduler.timesteps[4], states[0], None)
    on(2, scheduler.set_timesteps, 6)  # and begins in the middle on a schedule of its own
    times = on(2, lambda: list(scheduler.timesteps))
    found = on(2, stepped, scheduler, times[4], states[0], None)
    fresh = made(ours, "DPMSolverMultistepScheduler")
    assert torch.equal(found, stepped(fresh, fresh.timesteps[4], states[0], None))


def test_a_run_that_its_thread_has_dropped_is_refused():
    scheduler, on = made(ours, "DPMSolverMultistepScheduler"), Threads(2)
    times = list(scheduler.timesteps)
    x = torch.ones(SHAPE)
    for t in times[:2]:
        x = on(0, stepped, scheduler, t, x, None)
    on(0, scheduler.set_timesteps, 6)
    for t in (times[2], times[2].item()):
        with pytest.raises(ValueError, match="another thread has ended by set_timesteps"):
            on(1, stepped, scheduler, t, x, None)


def test_many_threads_begin_runs_of_one_schedule():
    """Each steps through its own, whose states are edited, beside the others."""
    scheduler, together, found = made(ours, "UniPCMultistepScheduler"), threading.Barrier(8), {}

    def work(k):
        x, generator = start(scheduler) * (1 + k), None
        for t in scheduler.timesteps:
            together.wait(60)
            x = 0.9 * stepped(scheduler, t, x, generator)
        found[k] = x

    workers = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    for k in range(8):
        alone = made(ours, "UniPCMultistepScheduler")
        x = start(alone) * (1 + k)
        for t in alone.timesteps:
            x = 0.9 * stepped(alone, t, x, None)
        assert torch.equal(found[k], x)


def test_runs_of_threads_that_ended_are_not_kept_for_ever():
    scheduler = made(ours, "DPMSolverMultistepScheduler")
    first, kept = scheduler.timesteps[0], []
    for _ in range(40):
        kept.append(in_new_thread(0, stepped, scheduler, first, torch.ones(SHAPE), None))
    assert 16 <= len(scheduler._threads._begun) <= 17
    with pytest.raises(ValueError, match="made way for others"):
        Threads(1)(0, stepped, scheduler, scheduler.timesteps[1], kept[0], None)
    in_new_thread(0, stepped, scheduler, scheduler.timesteps[1], kept[-1], None)


@pytest.mark.parametrize("count", [2, 3, 6, 10])
@pytest.mark.parametrize("seed", range(4))
def test_runs_whose_every_step_has_a_thread_of_its_own(count, seed):
    """In any order, each is the run alone."""
    name = "DPMSolverMultistepScheduler"
    scheduler, order = made(ours, name), random.Random(seed)
    states, at = [start(scheduler) * (1 + k) for k in range(count)], [0] * count
    while any(place < len(scheduler.timesteps) for place in at):
        k = order.choice([k for k in range(count) if at[k] < len(scheduler.timesteps)])
        t = scheduler.timesteps[at[k]]
        states[k] = in_new_thread(0, stepped, scheduler, t, states[k], None)
        at[k] += 1
    for k in range(count):
        alone = made(ours, name)
        x = start(alone) * (1 + k)
        for t in alone.timesteps:
            x = stepped(alone, t, x, None)
        assert torch.equal(states[k], x)


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler"])
def test_a_run_that_begins_in_the_middle_beside_another_takes_nothing_of_it(name, said):
    """Where its thread says so by set_begin_index; otherwise it is refused."""
    scheduler, on = made(ours, name), Threads(2)
    times, x = scheduler.timesteps, start(scheduler)
    for t in times[:3]:
        x = on(0, stepped, scheduler, t, x, None)
    y = torch.ones(SHAPE)
    if said:
        on(1, scheduler.set_begin_index, 3)
        found = on(1, stepped, scheduler, times[3], y, None)
        alone = made(ours, name)
        alone.set_begin_index(3)
        assert torch.equal(found, stepped(alone, alone.timesteps[3], y, None))
    else:
        with pytest.raises(ValueError, match="1 stand before it, 0 of which"):
            on(1, stepped, scheduler, times[3], y, None)
    for t in times[3:]:
        x = on(0, stepped, scheduler, t, x, None)
    assert torch.equal(x, loop(made(ours, name))[-1])
