# SPDX-License-Identifier: Apache-2.0
"""Levels made of other levels."""

import math

import numpy as np
import pytest
from cases import CASES, ids

from pydiffcore import exact, levels, process, samplers

FIVE = levels.explicit([16.0, 8.0, 4.0, 2.0, 1.0, 0.0], process.flow())


def test_split():
    head, tail = levels.split(FIVE, 2)
    assert head.sigma.tolist() == [16, 8, 4]
    assert tail.sigma.tolist() == [4, 2, 1, 0]
    assert head.process == tail.process == FIVE.process
    assert levels.split(FIVE, sigma=4.0) == (head, tail)
    assert levels.split(FIVE, sigma=3.0) == (head, tail)
    assert head.name == "split(explicit(n=5), 2)[0]"


def test_two_parts_are_the_whole_run():
    data = exact.gaussian(np.array([0.3, -0.1]), np.array([0.5, 0.2]))
    x = 16.0 * np.random.default_rng(0).standard_normal((3, 2))
    head, tail = levels.split(FIVE, 2)
    halves = samplers.euler(samplers.euler(x, data, head, None), data, tail, None)
    np.testing.assert_array_equal(halves, samplers.euler(x, data, FIVE, None))


@pytest.mark.parametrize("steps", [7, 10, 25])
@pytest.mark.parametrize("strength", [0.15, 0.3, 0.55, 0.8, 1.0])
def test_start_takes_the_timesteps_of_diffusers(steps, strength):
    """StableDiffusionImg2ImgPipeline.get_timesteps, on a scheduler of order 1."""
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDIMScheduler()
    theirs.set_timesteps(steps)
    taken = min(int(steps * strength), steps)
    timesteps = theirs.timesteps[steps - taken :].numpy()
    table = process.discrete(process.linear_betas())
    made = levels.start(levels.leading(steps, table), strength)
    np.testing.assert_array_equal(made.t[:-1], timesteps)


def test_start_at_a_level():
    assert levels.from_sigma(FIVE, 3.0).sigma.tolist() == [3, 2, 1, 0]
    assert levels.from_sigma(FIVE, 4.0).sigma.tolist() == [4, 2, 1, 0]
    assert levels.from_sigma(FIVE, 20.0).sigma.tolist() == [20, 16, 8, 4, 2, 1, 0]
    assert levels.set_first(FIVE, 20.0).sigma.tolist() == [20, 8, 4, 2, 1, 0]


def test_insert_and_extend():
    assert levels.insert(FIVE, 3.0).sigma.tolist() == [16, 8, 4, 3, 2, 1, 0]
    assert levels.insert(FIVE, 4.0) == FIVE
    assert levels.extend(FIVE, 0) == FIVE
    made = levels.extend(FIVE, 1)
    assert made.sigma.tolist() == [16, 12, 8, 6, 4, 3, 2, 1.5, 1, 0.5, 0]
    made = levels.extend(FIVE, 1, spacing="log", sigma_max=8.0, sigma_min=4.0)
    np.testing.assert_allclose(made.sigma, [16, 8, 32**0.5, 4, 8**0.5, 2, 1, 0], rtol=1e-15)
    assert levels.extend(FIVE, 3, spacing="log").sigma[-2] == 1.0
    low = levels.extend(levels.explicit([1.0, 0.0]), 1, spacing="cosine").sigma[1]
    high = levels.extend(levels.explicit([1.0, 0.0]), 1, spacing="sine").sigma[1]
    assert low == pytest.approx(1 - math.sqrt(0.5))
    assert high == pytest.approx(math.sqrt(0.5))


def test_flip_inverts():
    flipped = levels.flip(FIVE)
    assert flipped.sigma.tolist() == [1e-4, 1, 2, 4, 8, 16]
    assert levels.flip(flipped).sigma.tolist() == [16, 8, 4, 2, 1, 1e-4]
    assert not levels.flip(flipped).rising
    data = exact.gaussian(np.array([0.3, -0.1]), np.array([0.5, 0.2]))
    x = np.random.default_rng(0).standard_normal((3, 2))
    there = levels.flip(levels.exponential(400, 0.05, 10.0, final_zero=False))
    noisy = samplers.heun(x, data, there, None)
    np.testing.assert_allclose(noisy, data.solution(x, 0.05, 10.0), rtol=1e-3)
    again = samplers.heun(noisy, data, levels.flip(there), None)
    np.testing.assert_allclose(again, x, rtol=1e-3, atol=1e-4)


DETERMINISTIC = [case for case in CASES if case.order is not None]


@pytest.mark.parametrize("case", DETERMINISTIC, ids=ids(DETERMINISTIC))
def test_upwards_a_sampler_is_right_or_refuses(case):
    data = exact.gaussian(np.array([0.3, -0.1]), np.array([0.5, 0.2]))
    x = np.random.default_rng(0).standard_normal((3, 2))
    there = levels.flip(levels.exponential(400, 0.05, 10.0, final_zero=False))
    try:
        noisy = case.sampler(x, data, there, None, **case.options)
    except ValueError:
        assert case.sampler not in (samplers.euler, samplers.heun, samplers.lms)
        return
    np.testing.assert_allclose(noisy, data.solution(x, 0.05, 10.0), rtol=0.05)


def test_what_goes_both_ways_is_not_flipped_into_an_ode():
    both = levels.explicit([2.0, 1.0, 1.5, 0.0], rising=True)
    with pytest.raises(ValueError, match="restart takes such levels"):
        list(levels.flip(both).steps())
    head, tail = levels.split(both, 1)
    assert not head.rising
    assert tail.rising
    assert list(tail.jumps()) == [(1.0, 1.5), (1.5, 0.0)]


def test_percent():
    table = process.discrete(process.linear_betas())
    assert levels.at_percent(table, 0.0) == math.inf
    assert levels.at_percent(table, 1.0) == 0.0
    assert levels.at_percent(table, 0.25) == pytest.approx(float(table.level(749.25)))
    assert levels.at_percent(process.flow(), 0.5) == pytest.approx(1.0)
    zero_signal = process.discrete([0.1, 0.5, 1.0])
    assert math.isfinite(levels.at_percent(zero_signal, 1e-16))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: levels.split(FIVE, 5), "at = 5 leaves no step in a part of the 5"),
        (lambda: levels.split(FIVE, 0), "at = 0 leaves no step"),
        (lambda: levels.split(FIVE, -1), "at must be a whole number from 0, got -1"),
        (lambda: levels.split(FIVE, sigma=99.0), "sigma = 99.0 leaves no step"),
        (lambda: levels.start(FIVE, 0.0), r"strength must lie in \(0, 1\], got 0.0"),
        (lambda: levels.start(FIVE, 1.1), "strength must lie in"),
        (lambda: levels.start(FIVE, 0.1), "strength 0.1 leaves none of the 5 steps"),
        (lambda: levels.from_sigma(FIVE, 0.0), "sigma must be above .*0.0.* got 0.0"),
        (lambda: levels.from_sigma(FIVE, math.nan), "sigma must be above"),
        (lambda: levels.from_sigma(levels.flip(FIVE), 3.0), "from_sigma takes falling levels"),
        (lambda: levels.set_first(FIVE, 8.0), r"strictly descending; sigma\[1\]"),
        (lambda: levels.insert(FIVE, math.nan), "finite"),
        (lambda: levels.insert(FIVE, -1.0), "not negative"),
        (lambda: levels.extend(FIVE, -1), "extra must be a whole number"),
        (lambda: levels.extend(FIVE, 2, spacing="cubic"), "spacing must be .* got 'cubic'"),
        (lambda: levels.flip(FIVE, 1.0), "lowest must lie between 0 and .*1.0.* got 1.0"),
        (lambda: levels.at_percent(process.vp(), 1.5), "percent must lie in .* got 1.5"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_split_at_one_place():
    with pytest.raises(TypeError, match="exactly one of at and sigma"):
        levels.split(FIVE)
    with pytest.raises(TypeError, match="exactly one of at and sigma"):
        levels.split(FIVE, 2, sigma=3.0)
