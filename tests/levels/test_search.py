# SPDX-License-Identifier: Apache-2.0
"""The search for levels on exact denoisers: what it finds beats what it started from, held out."""

import functools
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import exact, levels, prediction, samplers
from pydiffcore.levels.search import _path

GAUSSIAN = exact.gaussian(np.array([0.3, -0.2, 0.1]), np.array([0.5, 0.8, 0.05]))
MIXTURE = exact.mixture([0.4, 0.6], [[-1.0, 0.3], [0.8, -0.5]], [0.15, 0.3])


def starts(data, count, seed, sigma_max=80.0):
    shape = data.shape
    return sigma_max * np.random.default_rng(seed).standard_normal((count, *shape))


def test_the_truth_is_the_exact_solution():
    x = starts(GAUSSIAN, 5, 0)
    grid = levels.exponential(40, final_zero=False).sigma
    states = levels.solve(GAUSSIAN, x, grid.tolist(), substeps=8)
    assert len(states) == 41
    for sigma, state in zip(grid, states, strict=True):
        np.testing.assert_allclose(state, GAUSSIAN.solution(x, 80.0, sigma), rtol=1e-5, atol=1e-7)
    to_zero = levels.solve(GAUSSIAN, x, [80.0, 0.0])
    np.testing.assert_array_equal(to_zero[1], GAUSSIAN(x, 80.0))


def test_the_truth_is_of_fourth_order():
    x = starts(GAUSSIAN, 5, 0, 10.0)
    truth = GAUSSIAN.solution(x, 10.0, 0.1)
    errors = [
        np.abs(levels.solve(GAUSSIAN, x, [10.0, 0.1], substeps=n)[-1] - truth).max()
        for n in (20, 40, 80)
    ]
    order = -np.polyfit(np.log([20, 40, 80]), np.log(errors), 1)[0]
    assert order == pytest.approx(4.0, abs=0.25)


@pytest.mark.parametrize("growth", [0.85, 1.0, 1.15])
@pytest.mark.parametrize("n", [1, 2, 4, 7])
def test_dynamic_programming_finds_the_least_path(n, growth):
    costs = np.random.default_rng(n).random((8, 8))
    costs[np.tril_indices(8)] = np.inf
    paths = [(0, *between, 7) for between in combinations(range(1, 7), n - 1)]

    def total(path):
        steps = pairwise(path)
        return sum(growth**k * costs[i, j] for k, (i, j) in enumerate(steps))

    found = _path(costs, n, growth)
    assert tuple(found) == min(paths, key=total)


@pytest.mark.parametrize("sampler", [samplers.euler, samplers.heun, samplers.dpmpp_2m])
@pytest.mark.parametrize("n", [3, 6])
def test_searched_levels_beat_karras_on_other_starts(sampler, n):
    small = {"points": 24, "rounds": 4}
    made = levels.optimal(MIXTURE, n, sampler, starts(MIXTURE, 200, 0), **small)
    assert len(made) == n
    assert made.sigma[0] == 80.0
    assert made.sigma[-1] == 0.0
    x = starts(MIXTURE, 400, 1)
    truth = levels.solve(MIXTURE, x, levels.exponential(60).sigma.tolist())[-1]

    def error(chosen):
        return levels.trajectory_error(MIXTURE, chosen, sampler, x, truth)

    others = [rule(n) for rule in (levels.karras, levels.exponential, levels.kl_optimal)]
    assert error(made) < 0.8 * error(levels.karras(n))
    assert error(made) < 1.02 * min(error(other) for other in others)


def test_without_refinement_it_is_the_best_start():
    x = starts(MIXTURE, 50, 0)
    run = {"sampler": samplers.euler, "x": x, "points": 12, "sigma_max": 20.0}
    raw = levels.optimal(MIXTURE, 4, rounds=0, **run)
    refined = levels.optimal(MIXTURE, 4, rounds=3, **run)
    truth = levels.solve(MIXTURE, x, levels.exponential(12, 0.002, 20.0).sigma.tolist(), 2)[-1]
    errors = [
        levels.trajectory_error(MIXTURE, made, samplers.euler, x, truth) for made in (raw, refined)
    ]
    assert errors[1] < errors[0]
    assert f"error={errors[1]:.4g}" in refined.name
    assert levels.optimal(MIXTURE, 1, rounds=1, **run).sigma.tolist() == [20.0, 0.0]


def test_options_and_process_go_along():
    x = starts(MIXTURE, 20, 0, 10.0)
    flow = pydiffcore.process.flow()
    run = {"sigma_max": 10.0, "points": 8, "rounds": 1, "process": flow}
    made = levels.optimal(MIXTURE, 3, samplers.lms, x, order=1, **run)
    assert made.process == flow
    assert made == levels.optimal(MIXTURE, 3, samplers.euler, x, **run)
    vp = pydiffcore.process.vp()
    bound = functools.partial(samplers.pf_euler, process=vp)
    found = levels.optimal(MIXTURE, 3, bound, x, **run)
    assert found.process == flow
    assert "sampler=pf_euler" in found.name


def test_truncation_of_euler_on_a_gaussian():
    x = starts(GAUSSIAN, 20, 0, 10.0)
    chosen = levels.exponential(12, 0.05, 10.0, final_zero=False)
    found = levels.truncation(GAUSSIAN, chosen, samplers.euler, x)
    assert found.sigma.tolist() == chosen.sigma[:-1].tolist()
    assert found.sigma_next.tolist() == chosen.sigma[1:].tolist()
    at = x
    for i, (sigma, after) in enumerate(chosen.steps()):
        exact_state = GAUSSIAN.solution(x, 10.0, sigma)
        step = exact_state + (after - sigma) * (exact_state - GAUSSIAN(exact_state, sigma)) / sigma
        truth = GAUSSIAN.solution(x, 10.0, after)
        assert found.local[i] == pytest.approx(np.sqrt(np.mean((step - truth) ** 2)), rel=1e-3)
        at = at + (after - sigma) * (at - GAUSSIAN(at, sigma)) / sigma
        assert found.gathered[i] == pytest.approx(np.sqrt(np.mean((at - truth) ** 2)), rel=1e-3)


def test_gathered_error_of_heun_is_that_of_its_steps_not_of_its_stages():
    x = starts(GAUSSIAN, 20, 0, 10.0)
    chosen = levels.exponential(8, 0.05, 10.0, final_zero=False)
    found = levels.truncation(GAUSSIAN, chosen, samplers.heun, x)
    for i in range(1, 8):
        part = levels.explicit(chosen.sigma[: i + 1])
        truth = GAUSSIAN.solution(x, 10.0, chosen.sigma[i])
        stopped = levels.trajectory_error(GAUSSIAN, part, samplers.heun, x, truth)
        assert found.gathered[i - 1] == pytest.approx(stopped, rel=1e-3)


def test_truncation_of_heun_is_below_that_of_euler():
    x = starts(MIXTURE, 50, 0)
    euler, heun = (
        levels.truncation(MIXTURE, levels.karras(40), s, x) for s in (samplers.euler, samplers.heun)
    )
    middle = (euler.sigma > 0.1) & (euler.sigma < 5.0)
    assert np.all(heun.local[middle] < 0.5 * euler.local[middle])
    assert heun.gathered[-1] < euler.gathered[-1]


def test_on_a_network():
    """The same search by numbers of torch, with the network's own prediction and clipping."""
    pred = prediction.eps(pydiffcore.process.vp())

    def network(x, label):
        sigma = pydiffcore.process.vp().level(label.double().numpy()[0] / 999)
        c_in = 1 / np.hypot(1, sigma)
        return (x / c_in - MIXTURE(x / c_in, float(sigma))) / float(sigma)

    run = {"shape": (2,), "seeds": range(60), "dtype": torch.float64}
    model = pydiffcore.Denoiser(network, pred)
    made = pydiffcore.optimal_levels(model, 3, samplers.euler, points=10, rounds=1, **run)
    x = 80.0 * pydiffcore.normal(range(60), (2,), purpose=0, stream=0, dtype=torch.float64)
    assert x.std() > 50
    plain = levels.optimal(MIXTURE, 3, samplers.euler, x.numpy(), points=10, rounds=1)
    np.testing.assert_allclose(made.sigma, plain.sigma, rtol=1e-6)
    found = pydiffcore.truncation_error(MIXTURE, made, samplers.euler, **run)
    same = levels.truncation(MIXTURE, made, samplers.euler, x.numpy())
    np.testing.assert_allclose(found.local, same.local, rtol=1e-6)
    clipped = pydiffcore.truncation_error(MIXTURE, made, samplers.ddim, clip=(-0.5, 0.5), **run)
    assert clipped.gathered[-1] != found.gathered[-1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: levels.optimal(MIXTURE, 0, samplers.euler, x), "n must be a positive whole"),
        (lambda x: levels.optimal(MIXTURE, 9, samplers.euler, x, points=8), "points must be at le"),
        (lambda x: levels.optimal(MIXTURE, 3, samplers.euler, x, sigma_min=-1.0), "sigma_min must"),
        (lambda x: levels.optimal(MIXTURE, 3, samplers.ddpm, x, points=4), "draws noise"),
        (
            lambda x: levels.optimal(lambda x, s: x * np.nan, 3, samplers.euler, x, points=4),
            "not finite",
        ),
        (lambda x: levels.truncation(MIXTURE, levels.karras(3), samplers.ddpm, x), "draws noise"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(starts(MIXTURE, 4, 0))


def test_a_denoiser_of_the_upper_layer_is_sent_there():
    model = pydiffcore.Denoiser(MIXTURE)
    with pytest.raises(TypeError, match=r"denoiser is Denoiser.*pydiffcore\.optimal_levels takes"):
        levels.optimal(model, 5, samplers.euler)
    with pytest.raises(TypeError, match=r"denoiser is Denoiser.*pydiffcore\.truncation_error"):
        levels.truncation(model, levels.karras(5), samplers.euler, starts(MIXTURE, 9, 0))


def test_starts_without_their_noise_are_refused():
    unit = starts(MIXTURE, 32, 0, 1.0)
    with pytest.raises(TypeError, match=r"x is NoneType, expected starts \[B, \*\] of deviation"):
        levels.optimal(MIXTURE, 5, samplers.euler)
    for x in (unit, torch.from_numpy(unit), 0 * unit[:1]):
        with pytest.raises(ValueError, match=r"x has root mean square .*sigma_max = 80: "):
            levels.optimal(MIXTURE, 5, samplers.euler, x)
    with pytest.raises(ValueError, match="the first level = 80"):
        levels.truncation(MIXTURE, levels.karras(5), samplers.euler, unit)


def test_starts_that_may_be_noise_are_taken():
    """A single number below sigma_max / 2 is no evidence, nor are starts of large data."""
    for x in (np.array([[20.0, -30.0]]), 1000 + starts(MIXTURE, 8, 1)):
        assert len(levels.optimal(MIXTURE, 3, samplers.euler, x, points=6, rounds=0)) == 3
