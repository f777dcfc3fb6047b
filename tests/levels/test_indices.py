# SPDX-License-Identifier: Apache-2.0
"""Levels at chosen indices of a table: what the programs that named them choose."""

import numpy as np
import pytest

from pydiffcore import levels, process

LINEAR = process.discrete(process.linear_betas())
SHORT = process.discrete(process.linear_betas(10))


def test_normal_and_sgm_uniform():
    np.testing.assert_allclose(levels.normal(4, LINEAR).t, [999, 666, 333, 0, -1], atol=1e-9)
    np.testing.assert_allclose(levels.sgm_uniform(3, LINEAR).t, [999, 666, 333, -1], atol=1e-9)
    kept = levels.sgm_uniform(3, LINEAR, final_zero=False)
    np.testing.assert_allclose(kept.t, [999, 666, 333, 0], atol=1e-9)
    np.testing.assert_allclose(levels.normal(3, process.vp()).t, [1, 0.5005, 1e-3, 0], atol=1e-12)
    assert len(levels.normal(3, LINEAR, final_zero=False)) == 3


def test_normal_is_the_discrete_schedule_of_k_diffusion():
    """Interpolation in log sigma at evenly spaced t, worked out apart from the process."""
    log_sigma = np.log(LINEAR.level(np.arange(1000)))
    expected = np.exp(np.interp(np.linspace(999, 0, 7), np.arange(1000), log_sigma))
    np.testing.assert_allclose(levels.normal(7, LINEAR).sigma, [*expected, 0.0], rtol=1e-12)


def test_simple():
    assert levels.simple(4, SHORT).t.tolist() == [9, 7, 4, 2, -1]
    assert levels.simple(10, SHORT).t.tolist() == [*range(9, -1, -1), -1]
    for n in (7, 20, 30, 999):
        theirs = [999 - int(i * (1000 / n)) for i in range(n)]
        np.testing.assert_array_equal(levels.simple(n, LINEAR).t[:-1], theirs)


def test_ddim_uniform():
    assert levels.ddim_uniform(5, SHORT).t.tolist() == [9, 7, 5, 3, 1, -1]
    assert levels.ddim_uniform(4, SHORT).t.tolist() == [9, 7, 5, 3, 1, -1]
    made = levels.ddim_uniform(30, LINEAR)
    assert len(made) == 31
    leading = levels.leading(30, LINEAR, steps_offset=1)
    np.testing.assert_array_equal(made.t[1:], leading.t)
    assert levels.ddim_uniform(10, LINEAR) == levels.leading(10, LINEAR, steps_offset=1)


@pytest.mark.parametrize("n", [2, 10, 20, 50])
def test_quadratic_indices_of_ddim(n):
    theirs = sorted({int(s) for s in np.linspace(0, np.sqrt(1000 * 0.8), n) ** 2}, reverse=True)
    np.testing.assert_array_equal(levels.quadratic(n, LINEAR).t[:-1], theirs)


def test_quadratic_at_the_ends():
    assert levels.quadratic(1, LINEAR).t.tolist() == [800.0, -1.0]
    assert len(levels.quadratic(100, LINEAR)) < 100
    kept = levels.quadratic(5, LINEAR, final_zero=False)
    assert kept.sigma[-1] == LINEAR.level(0)


def test_space_timesteps():
    """The examples of the rule: sections of 34, 33 and 33 of 100 entries."""
    table = process.discrete(process.linear_betas(100))
    made = levels.space_timesteps([2, 1, 3], table).t[:-1][::-1]
    assert made.tolist() == [0, 33, 34, 67, 83, 99]
    one = levels.space_timesteps(5, table).t[:-1][::-1]
    assert one.tolist() == [round(i * 99 / 4) for i in range(5)]
    assert levels.space_timesteps([0, 4, 0], table).t[:-1].tolist() == [66, 55, 45, 34]
    everything = levels.space_timesteps(100, table)
    np.testing.assert_array_equal(everything.t[:-1], np.arange(99, -1, -1))
    assert len(levels.space_timesteps(5, table, final_zero=False)) == 4


@pytest.mark.parametrize("n", [1, 2, 10, 30, 200])
@pytest.mark.parametrize(("alpha", "beta"), [(0.6, 0.6), (0.5, 0.7)])
def test_beta_timesteps(n, alpha, beta):
    stats = pytest.importorskip("scipy.stats")
    p = 1 - np.linspace(0, 1, n, endpoint=False)
    indices = np.rint(stats.beta.ppf(p, alpha, beta) * 999)
    theirs = sorted(set(indices.tolist()), reverse=True)
    np.testing.assert_array_equal(levels.beta_timesteps(n, LINEAR, alpha, beta).t[:-1], theirs)


def test_the_two_betas_are_two_schedules():
    low, high = float(LINEAR.level(0)), float(LINEAR.level(999))
    middle = levels.beta_timesteps(20, LINEAR).sigma[10]
    assert levels.beta_sigmas(20, low, high).sigma[10] > 10 * middle


def test_rules_that_visit_the_lowest_entry_end_there_without_zero():
    """A step fewer than indices; rules that stop above it go down to it in a step."""
    for rule in (levels.leading, levels.linspace, levels.quadratic, levels.space_timesteps):
        assert len(rule(10, LINEAR, final_zero=False)) == 9
    for rule in (levels.trailing, levels.simple, levels.ddim_uniform, levels.beta_timesteps):
        assert len(rule(10, LINEAR, final_zero=False)) == 10
    assert len(levels.simple(1000, LINEAR, final_zero=False)) == 999
    assert len(levels.leading(10, LINEAR, steps_offset=1, final_zero=False)) == 10


def test_given_times():
    made = levels.explicit_t([999, 500.5, 0], LINEAR)
    np.testing.assert_allclose(made.t, [999, 500.5, 0, -1], atol=1e-9)
    assert len(levels.explicit_t([0.5, 0.1], process.vp(), final_zero=False)) == 1
    zero_signal = process.discrete([0.1, 0.5, 1.0])
    assert levels.explicit_t([2, 1], zero_signal).sigma[0] == 1e12
    assert levels.normal(2, zero_signal).sigma[0] == 1e12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: levels.normal(0, LINEAR), "n must be a positive whole number"),
        (lambda: levels.simple(3, process.vp()), "process must be tabulated"),
        (lambda: levels.simple(1001, LINEAR), "at most the 1000 entries"),
        (lambda: levels.ddim_uniform(1, process.discrete([0.1])), "at least 2 entries"),
        (lambda: levels.quadratic(3, LINEAR, share=1.0), "share must lie strictly"),
        (lambda: levels.space_timesteps([], LINEAR), "n must ask for at least one step"),
        (lambda: levels.space_timesteps([0, 0], LINEAR), "n must ask for at least one step"),
        (lambda: levels.space_timesteps("3", LINEAR), "n must be a whole number .* got '3'"),
        (lambda: levels.space_timesteps(5.0, LINEAR), "n must be a whole number .* got 5.0"),
        (lambda: levels.space_timesteps([5.0, 5], LINEAR), r"whole number .* got \[5.0, 5\]"),
        (lambda: levels.space_timesteps([True, 3], LINEAR), r"whole number .* got \[True, 3\]"),
        (lambda: levels.space_timesteps(0, LINEAR), "n must ask for at least one step, got 0"),
        (lambda: levels.leading(1, LINEAR, final_zero=False), "lowest level alone: .* at least 2"),
        (lambda: levels.space_timesteps([6, 1], SHORT), "0 to 5 steps, got 6"),
        (lambda: levels.beta_timesteps(3, LINEAR, alpha=-1.0), "alpha must lie in"),
        (lambda: levels.explicit_t([0, 999], LINEAR), "strictly descending"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
