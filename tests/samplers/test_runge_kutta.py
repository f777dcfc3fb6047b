# SPDX-License-Identifier: Apache-2.0
"""One-step samplers in σ: fitted orders, closed forms of a step, what their options refuse."""

import itertools
import math

import numpy as np
import pytest
from samplers.test_multistep import HARD, name

import pydiffcore
from pydiffcore import exact, levels, process, samplers

MIXTURE = exact.mixture([0.4, 0.6], [[-1.0], [0.8]], [0.3, 0.4])
GAUSSIAN = exact.gaussian(np.array([0.4]), np.array([0.5]))
s = samplers
TABLEAUX, IMPLICIT = s.TABLEAUX, s.IMPLICIT


def smooth(n):
    return levels.exponential(n + 1, sigma_min=0.05, sigma_max=10.0, final_zero=False)


def fitted_order(sampler, data, sizes, options):
    x = 10.0 * np.linspace(-1.7, 1.9, 8)[:, None]
    truth = data.solution(x, 10.0, 0.05)
    errors = [np.abs(sampler(x, data, smooth(n), None, **options) - truth).max() for n in sizes]
    return -np.polyfit(np.log(sizes), np.log(errors), 1)[0]


ORDERS = [
    *((s.runge_kutta, {"tableau": tableau}, tableau.order) for tableau in TABLEAUX.values()),
    (s.midpoint, {}, 2),
    (s.ralston, {}, 2),
    (s.kutta, {}, 3),
    (s.rk4, {}, 4),
    (s.dpm_2, {}, 2),
    (s.dpm_2_ancestral, {"eta": 0.0}, 2),
    (s.euler_churn, {}, 1),
    (s.heun, {}, 2),
    (s.heunpp2, {}, 1),
    (s.restart, {}, 2),
    *(
        (s.implicit_rk, {"tableau": tableau, "iterations": m}, min(tableau.order, m + 1))
        for tableau in IMPLICIT.values()
        for m in (1, 2, 3, 4)
    ),
]


def identity(value):
    return name(value) or (repr(value) if isinstance(value, dict) else None)


@pytest.mark.parametrize(("sampler", "options", "order"), ORDERS, ids=identity)
def test_order_on_a_mixture(sampler, options, order):
    sizes = [80, 160, 320] if order > 1 else [160, 320, 640]
    assert fitted_order(sampler, MIXTURE, sizes, options) == pytest.approx(order, abs=0.1)


def test_order_on_a_gaussian():
    """Not of the midpoint rule, whose second order happens to cancel there."""
    for sampler, order in ((s.kutta, 3), (s.rk4, 4), (s.dpm_2, 2), (s.ralston, 2)):
        found = fitted_order(sampler, GAUSSIAN, [80, 160, 320], {})
        assert found == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(
    ("sampler", "options", "calls"),
    [
        (s.dpm_2, {}, 9),
        (s.rk4, {}, 17),
        (s.kutta, {}, 13),
        (s.euler_churn, {}, 5),
        (s.heunpp2, {}, 12),
        (s.implicit_rk, {}, 13),
        (s.implicit_rk, {"tableau": IMPLICIT["trapezoidal"], "iterations": 3}, 17),
        (s.implicit_rk, {"tableau": IMPLICIT["radau_iia2"], "iterations": 3}, 29),
    ],
    ids=identity,
)
def test_calls_of_five_levels(sampler, options, calls):
    """The step to σ = 0 is Euler's: one call."""
    plan = pydiffcore.trace(sampler, levels.karras(5), **options)
    assert plan.nfe == calls
    assert np.array_equal(plan.A[-1, 0], np.eye(plan.registers)[0] * 0.0)
    assert plan.B[-1, 0] == 1.0


def step(sampler, x, sigma, sigma_next, denoise=GAUSSIAN, **options):
    return sampler(x, denoise, levels.explicit([sigma, sigma_next]), None, **options)


def slope(x, sigma):
    return (x - GAUSSIAN(x, sigma)) / sigma


X = np.array([[3.0], [-2.0]])


def test_heun_is_its_tableau():
    expected = step(s.runge_kutta, X, 3.0, 1.0, tableau=TABLEAUX["heun"])
    np.testing.assert_allclose(step(s.heun, X, 3.0, 1.0), expected, rtol=1e-14)


def test_one_iteration_of_the_trapezoidal_rule_is_heun():
    for options in ({"tableau": IMPLICIT["trapezoidal"], "iterations": 1},):
        found = step(s.implicit_rk, X, 3.0, 1.0, **options)
        np.testing.assert_allclose(found, step(s.heun, X, 3.0, 1.0), rtol=1e-14)


def test_many_iterations_solve_the_implicit_equation():
    """The implicit midpoint rule, x' = x + Δσ d((x + x')/2, (σ + σ')/2)."""
    found = step(s.implicit_rk, X, 3.0, 1.0, iterations=20)
    residual = found - X + 2.0 * slope((X + found) / 2, 2.0)
    assert np.abs(residual).max() < 1e-8


def test_dpm_2_takes_the_geometric_mean():
    middle = math.sqrt(3.0)
    half = X + (middle - 3.0) * slope(X, 3.0)
    expected = X - 2.0 * slope(half, middle)
    np.testing.assert_allclose(step(s.dpm_2, X, 3.0, 1.0), expected, rtol=1e-14)


def test_heunpp2_weighs_by_level():
    """w_j = σ_{i+j}/(3 σ_0) with three levels ahead, /(2 σ_0) with two, Euler in the last step."""
    at = [8.0, 5.0, 3.0, 0.0]
    queries = []

    def denoise(x, sigma):
        queries.append((x, sigma))
        return GAUSSIAN(x, sigma)

    out = s.heunpp2(X, denoise, levels.explicit(at), None)
    d1, x2 = slope(X, 8.0), X - 3.0 * slope(X, 8.0)
    d2, x3 = slope(x2, 5.0), x2 - 2.0 * slope(x2, 5.0)
    w2, w3 = 5 / 24, 3 / 24
    first = X - 3.0 * ((1 - w2 - w3) * d1 + w2 * d2 + w3 * slope(x3, 3.0))
    d1 = slope(first, 5.0)
    w2 = 3 / 16
    second = first - 2.0 * ((1 - w2) * d1 + w2 * slope(first - 2.0 * d1, 3.0))
    assert [sigma for _, sigma in queries] == [8.0, 5.0, 3.0, 5.0, 3.0, 3.0]
    np.testing.assert_allclose(queries[3][0], first, rtol=1e-13)
    np.testing.assert_allclose(queries[5][0], second, rtol=1e-13)
    np.testing.assert_allclose(out, GAUSSIAN(second, 3.0), rtol=1e-13)


def test_churn_is_the_papers():
    """γ = min(S_churn/n, √2 − 1) in [s_min, s_max]: σ̂ and the noise that leads there."""
    at = levels.explicit([8.0, 4.0, 2.0, 1.0, 0.0])
    for sampler in (s.euler_churn, s.dpm_2, s.heunpp2, s.heun):
        plan = pydiffcore.trace(sampler, at, churn=1.0, s_min=1.5, s_max=5.0, s_noise=1.01)
        assert [a for a in plan.sigma if a in (5.0, 2.5, 10.0, 1.25)] == [5.0, 2.5]
        assert plan.interval.tolist() == [[4.0, 5.0], [2.0, 2.5]]
        added = plan.S[plan.S > 0]
        assert added[0] == pytest.approx(1.01 * 3.0, rel=1e-12)
    plan = pydiffcore.trace(s.euler_churn, at, churn=100.0)
    assert plan.sigma[0] == pytest.approx(8.0 * math.sqrt(2), rel=1e-12)


def test_step_scale_lengthens_the_step():
    """x' = x + 1.5 (σ_next − σ) d; Heun's predictor is not scaled."""
    expected = X + 1.5 * (1.0 - 3.0) * slope(X, 3.0)
    np.testing.assert_allclose(step(s.euler_churn, X, 3.0, 1.0, step_scale=1.5), expected)
    expected = X + 1.5 * (step(s.heun, X, 3.0, 1.0) - X)
    np.testing.assert_allclose(step(s.heun, X, 3.0, 1.0, step_scale=1.5), expected, rtol=1e-13)
    to_zero = X - 1.5 * 3.0 * slope(X, 3.0)
    for sampler in (s.euler_churn, s.heun):
        np.testing.assert_allclose(step(sampler, X, 3.0, 0.0, step_scale=1.5), to_zero)


def test_alphafold3_is_its_algorithm():
    """γ_0 counts where the *next* level is above γ_min."""
    at, z = [4.0, 2.0, 0.9, 0.1], np.array([[0.3], [-1.1]])
    intervals = []

    def noise(*interval):
        intervals.append(interval)
        return z

    found = s.alphafold3(X, GAUSSIAN, levels.explicit(at), noise)
    x = X
    for a, b in itertools.pairwise(at):
        raised = a * 1.8 if b > 1.0 else a
        x_hat = x + 1.003 * math.sqrt(raised**2 - a**2) * z
        x = x_hat + 1.5 * (b - raised) * slope(x_hat, raised)
    np.testing.assert_allclose(found, x, rtol=1e-13)
    assert intervals == [(4.0, 7.2)]


def test_ancestral_steps_go_down_and_up():
    at = levels.explicit([4.0, 2.0, 0.0])
    plan = pydiffcore.trace(s.dpm_2_ancestral, at, eta=0.5)
    up = 0.5 * 2.0 * math.sqrt(12.0) / 4.0
    down = math.sqrt(4.0 - up**2)
    assert plan.sigma.tolist() == pytest.approx([4.0, math.sqrt(4.0 * down), 2.0])
    assert plan.S[2, 0, 0] == pytest.approx(up)
    assert plan.interval.tolist() == [[4.0, 2.0]]


@pytest.mark.parametrize("sigma", HARD.values(), ids=HARD)
@pytest.mark.parametrize(
    "sampler", [s.dpm_2, s.rk4, s.kutta, s.euler_churn, s.heunpp2, s.implicit_rk], ids=name
)
def test_hard_levels_make_finite_plans(sampler, sigma):
    """A plan is refused where a number is not finite."""
    plan = pydiffcore.trace(sampler, levels.explicit(sigma, process.vp()))
    if sampler in (s.euler_churn, s.heunpp2):
        assert plan.x0_error.max() < 1e-8
        assert np.abs(plan.noise_ratio - 1).max() < 1e-8


REFUSED = [
    (s.runge_kutta, {"tableau": "rk4"}, TypeError, "tableau is 'rk4', expected a samplers.Tableau"),
    (s.runge_kutta, {"tableau": IMPLICIT["gauss1"]}, ValueError, "gauss1 is implicit"),
    (s.implicit_rk, {"tableau": "gauss1"}, TypeError, "tableau is 'gauss1'"),
    (s.implicit_rk, {"iterations": 0}, ValueError, "iterations is 0, expected a whole number from"),
    (s.dpm_2, {"churn": -1.0}, ValueError, "churn is -1.0"),
    (s.dpm_2_ancestral, {"s_noise": -1.0}, ValueError, "s_noise is -1.0"),
    (s.dpm_2_ancestral, {"eta": -1.0}, ValueError, "eta is -1.0"),
    (s.heunpp2, {"s_noise": math.nan}, ValueError, "s_noise is nan"),
    (s.euler_churn, {"step_scale": -0.1}, ValueError, "step_scale is -0.1"),
    (s.alphafold3, {"gamma_0": -0.1}, ValueError, "gamma_0 is -0.1"),
    (s.restart, {"s_noise": -0.1}, ValueError, "s_noise is -0.1"),
]


@pytest.mark.parametrize(("sampler", "options", "error", "message"), REFUSED, ids=identity)
def test_wrong_options_are_named(sampler, options, error, message):
    with pytest.raises(error, match=message.replace(".", r"\.")):
        pydiffcore.trace(sampler, levels.karras(5), **options)
