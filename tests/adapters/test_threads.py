# SPDX-License-Identifier: Apache-2.0
"""A scheduler of either noise that threads share gives each what it gives alone, to the bit."""

import sys
import threading
import time
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers", reason="diffusers is not installed")
pytest.importorskip("torchsde", reason="torchsde is not installed")
sys.path.insert(0, str(Path(__file__).parents[2]))
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Should have:UserWarning"),  # torchsde, of its last digit
]

import pydiffcore.adapters.diffusers as ours  # noqa: E402
from benchmarks.claims.zoo import threads  # noqa: E402
from pydiffcore.adapters.diffusers.scheduler import Fused  # noqa: E402
from pydiffcore.adapters.diffusers.threads import PerThread, Threads  # noqa: E402


@pytest.mark.parametrize("noise", ["torch", "seeded"])
@pytest.mark.parametrize("name", threads.NAMES)
def test_eight_threads_share_a_scheduler(name, noise):
    assert threads.differing(name, ours, True, noise) == 0


@pytest.mark.parametrize("name", [name for name, _ in threads.STOCHASTIC])
def test_a_generator_per_sample_costs_no_launch(name):
    config = dict(threads.STOCHASTIC)[name]
    one, many = (threads.launches(name, ours, batch, "seeded", config) for batch in (1, 8))
    assert one == many == 3  # the state copied in, the row, the result copied out
    assert threads.launches(name, ours, 8, config=config) == 12  # a draw each, stacked


def in_thread(work):
    """Run a function in a thread of its own and return what it returns."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_a_schedule_is_shown_all_at_once():
    """A thread without a schedule never sees timesteps of one beside levels of another."""
    scheduler = ours.EulerDiscreteScheduler()
    scheduler.set_timesteps(3)
    seen, write = set(), Threads.write

    def look():
        values = scheduler._threads.values()
        return len(values["timesteps"]) + 1 - len(values["sigmas"])

    def written(threads, *new):
        write(threads, *new)
        seen.add(in_thread(look))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Threads, "write", written)
        scheduler.set_timesteps(7)
    assert seen == {0}


class Slow(str):
    """A name at which the thread that writes it lets others go first."""

    def __hash__(self):
        time.sleep(0)
        return super().__hash__()


class Holder:
    """Something with values per thread."""

    def __init__(self):
        self._threads = Threads({})


def test_what_threads_write_at_once_is_all_there():
    """Each writes names of its own; of two that had read the same values one would be lost."""
    holder, together = Holder(), threading.Barrier(8)

    def work(k):
        together.wait()
        for i in range(25):
            PerThread(Slow(f"{k}-{i}")).__set__(holder, i)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert in_thread(lambda: len(holder._threads.values())) == 8 * 25


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler"])
def test_a_step_keeps_the_schedule_that_it_began_with(name, monkeypatch):
    """Another thread sets timesteps in the middle of a step of a thread without a schedule."""
    x, own = torch.ones(1, 3, 4, 4), Fused._running

    def first_step(scheduler):
        t = scheduler.timesteps[0]
        scheduler.scale_model_input(x, t)
        return scheduler.step(0.5 * x, t, x).prev_sample

    def disturbed(scheduler, *given):
        in_thread(lambda: scheduler.set_timesteps(40))
        return own(scheduler, *given)

    def made():
        scheduler = getattr(ours, name)()
        in_thread(lambda: scheduler.set_timesteps(10))
        return scheduler

    expected = first_step(made())
    monkeypatch.setattr(Fused, "_running", disturbed)
    assert torch.equal(first_step(made()), expected)
