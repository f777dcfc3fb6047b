# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pydiffcore.train import Pace


@pytest.fixture
def threads():
    """Two threads, whatever the machine has."""
    former = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(former)


def run(seconds):
    """Return the number of threads that each step of these durations ran on."""
    times = iter([0.0, *torch.tensor(seconds).cumsum(0).tolist()])
    used = []
    with Pace(lambda: next(times)) as pace:
        for _ in seconds:
            used.append(torch.get_num_threads())
            pace.step()
    return used, pace.gave_up


def test_free_cores_are_used(threads):
    used, gave_up = run([9.0, 1, 1, 1] + 20 * [0.6])
    assert used == [1] * 4 + [2] * 20
    assert not gave_up


def test_busy_cores_are_left(threads):
    used, gave_up = run([9.0, 1, 1, 1] + 3 * [0.6] + 20 * [5.0])
    assert used == [1] * 4 + [2] * 8 + [1] * 15
    assert gave_up


def test_single_slow_steps_are_forgiven(threads):
    assert not run([9.0, 1, 1, 1] + 10 * [5.0, 5.0, 5.0, 5.0, 0.6])[1]


def test_the_first_step_is_no_measure(threads):
    assert run([50.0, 1, 1, 1] + 5 * [2.0])[1]


def test_former_number_comes_back_even_after_an_error(threads):
    with pytest.raises(RuntimeError), Pace():
        raise RuntimeError
    assert torch.get_num_threads() == 2


def test_one_thread_stays_one(threads):
    torch.set_num_threads(1)
    assert run([1.0] * 30) == ([1] * 30, False)
