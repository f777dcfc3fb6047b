# SPDX-License-Identifier: Apache-2.0
"""Levels by powers, angles, distributions and flow times against their formulas and diffusers."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydiffcore import levels, process
from pydiffcore.levels.core import UNBOUNDED
from pydiffcore.levels.quantile import beta_quantile

LATENT = process.discrete(process.scaled_linear_betas())


def test_polyexponential():
    assert levels.polyexponential(9).sigma == pytest.approx(levels.exponential(9).sigma, rel=1e-13)
    made = levels.polyexponential(5, 0.01, 10.0, rho=2.0)
    expected = [0.01 * 1000 ** ((1 - i / 4) ** 2) for i in range(5)]
    np.testing.assert_allclose(made.sigma, [*expected, 0.0], rtol=1e-13)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_uniform_lambda_is_what_diffusers_calls_lu():
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DPMSolverMultistepScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", use_lu_lambdas=True
    )
    theirs.set_timesteps(20)
    ours = levels.uniform_lambda(20, LATENT)
    np.testing.assert_allclose(ours.sigma, theirs.sigmas.numpy(), rtol=2e-4)
    steps = np.diff(np.log(levels.uniform_lambda(8, process.vp()).sigma[:-1]))
    np.testing.assert_allclose(steps, steps[0], rtol=1e-12)


def test_powers_of_time():
    made = levels.uniform_t(10, process.vp(), power=2.0)
    roots = np.sqrt(made.t[:-1])
    np.testing.assert_allclose(roots, np.linspace(1.0, math.sqrt(1e-3), 10), rtol=1e-9)
    assert levels.uniform_t(10, process.vp(), power=1) == levels.uniform_t(10, process.vp())


def test_kl_optimal():
    with mp.workdps(40):
        high, low = mp.atan(80), mp.atan(mp.mpf(0.002))
        expected = [float(mp.tan(high + mp.mpf(i) / 9 * (low - high))) for i in range(10)]
    np.testing.assert_allclose(levels.kl_optimal(10).sigma, [*expected, 0.0], rtol=1e-12)


def test_laplace():
    made = levels.laplace(9, 1e-9, 1e9, mu=0.3, beta=0.7)
    expected = []
    for i in range(9):
        r = i / 8
        side = (r < 0.5) - (r > 0.5)
        expected.append(math.exp(0.3 - 0.7 * side * math.log(1 - 2 * abs(0.5 - r) + 1e-5)))
    np.testing.assert_allclose(made.sigma, [*expected, 0.0], rtol=1e-12)
    clipped = levels.laplace(401, 0.1, 2.0)
    assert len(clipped) < 401
    assert clipped.sigma[0] == 2.0
    assert clipped.sigma[-2] == 0.1


@given(
    p=st.floats(1e-6, 1 - 1e-6),
    a=st.sampled_from([0.05, 0.5, 0.6, 1.0, 2.5, 40.0, 900.0]),
    b=st.sampled_from([0.05, 0.5, 0.6, 0.7, 1.0, 3.0, 200.0, 1000.0]),
)
def test_quantiles_of_beta(p, a, b):
    special = pytest.importorskip("scipy.special")
    x = beta_quantile(np.array([p]), a, b)[0]
    # Where the density is tiny the quantile is loose: compare probabilities.
    assert special.betainc(a, b, x) == pytest.approx(p, rel=1e-9, abs=1e-13) or x == pytest.approx(
        special.betaincinv(a, b, p), rel=1e-10
    )


def test_known_quantiles_of_beta():
    assert beta_quantile(np.array([0.0, 0.3, 1.0]), 1.0, 1.0) == pytest.approx([0.0, 0.3, 1.0])
    assert beta_quantile(np.array([0.25]), 0.5, 0.5) == pytest.approx(
        [math.sin(math.pi / 8) ** 2], rel=1e-13
    )
    assert beta_quantile(np.array([0.2]), 3.0, 1.0) == pytest.approx([0.2 ** (1 / 3)], rel=1e-13)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("n", [2, 5, 20, 50])
def test_the_four_rules_of_sigma_of_diffusers(n):
    diffusers = pytest.importorskip("diffusers")
    latent = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    low, high = float(LATENT.level(0)), float(LATENT.level(999))
    for rule, option in (
        (levels.karras, "use_karras_sigmas"),
        (levels.exponential, "use_exponential_sigmas"),
        (levels.beta_sigmas, "use_beta_sigmas"),
    ):
        theirs = diffusers.EulerDiscreteScheduler(**latent, **{option: True})
        theirs.set_timesteps(n)
        np.testing.assert_allclose(rule(n, low, high).sigma, theirs.sigmas.numpy(), rtol=2e-4)


@pytest.mark.parametrize("model", ["StableDiffusion", "StableDiffusionXL", "StableDiffusionVideo"])
def test_align_your_steps_are_the_tables_of_diffusers(model):
    tables = pytest.importorskip("diffusers.schedulers").AysSchedules
    name = {"StableDiffusion": "sd1", "StableDiffusionXL": "sdxl", "StableDiffusionVideo": "svd"}
    made = levels.ays(10, name[model])
    assert made.sigma.tolist() == tables[f"{model}Sigmas"]
    kept = levels.ays(10, name[model], final_zero=False)
    assert kept.sigma[:-1].tolist() == made.sigma[:-1].tolist()
    assert kept.sigma[-1] == (0.002 if name[model] == "svd" else 0.029)


def test_align_your_steps_between_the_entries():
    made = levels.ays(20, "sd1")
    table = levels.ays(10, "sd1", final_zero=False).sigma
    np.testing.assert_array_equal(made.sigma[:-1:2], table[:-1])
    np.testing.assert_allclose(made.sigma[1::2], np.sqrt(table[1:] * table[:-1]), rtol=1e-14)
    assert levels.ays(3, "svd").process == process.edm()
    assert levels.ays(3, "sdxl").process == LATENT


@pytest.mark.parametrize("n", [1, 2, 7, 30])
@pytest.mark.parametrize("shift", [1.0, 3.0, 0.5])
def test_flow_shift_of_diffusers(n, shift):
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(sigmas=np.linspace(1.0, 1 / n, n))
    ours = levels.flow_shift(n, shift)
    np.testing.assert_allclose(ours.t, theirs.sigmas.numpy(), atol=2e-7)
    # Given a number of steps it shifts its last time twice.
    theirs.set_timesteps(n)
    if n > 1:
        twice = levels.flow_shift(n, shift, t_min=shift / (999 + shift))
        np.testing.assert_allclose(twice.t, theirs.sigmas.numpy(), atol=2e-7)


def test_flow_shift_by_resolution_and_terminal():
    diffusers = pytest.importorskip("diffusers")
    assert levels.flow_mu(256) == 0.5
    assert levels.flow_mu(4096) == pytest.approx(1.15, rel=1e-15)
    mu = levels.flow_mu(1024)
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    theirs.set_timesteps(sigmas=np.linspace(1.0, 1 / 9, 9), mu=mu)
    np.testing.assert_allclose(
        levels.flow_shift(9, math.exp(mu)).t, theirs.sigmas.numpy(), atol=2e-7
    )
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, shift_terminal=0.1, time_shift_type="linear"
    )
    theirs.set_timesteps(sigmas=np.linspace(1.0, 1 / 9, 9), mu=2.5)
    stretched = levels.flow_shift(9, 2.5, terminal=0.1)
    np.testing.assert_allclose(stretched.t, theirs.sigmas.numpy(), atol=2e-7)
    assert stretched.t[-2] == pytest.approx(0.1, rel=1e-12)


def test_flow_shift_is_a_factor_of_the_level():
    plain = levels.flow_shift(6, t_max=0.9)
    np.testing.assert_allclose(
        levels.flow_shift(6, 3.0, t_max=0.9).sigma, 3.0 * plain.sigma, rtol=1e-15
    )
    np.testing.assert_allclose(
        levels.flow_shift(6, 1.0, 2.0, t_max=0.9).sigma, plain.sigma**2, rtol=1e-15
    )
    assert levels.flow_shift(6).sigma[0] == UNBOUNDED
    assert len(levels.flow_shift(6, final_zero=False)) == 6
    assert levels.flow_shift(6, final_zero=False).t[-1] == pytest.approx(1 / 7)


@pytest.mark.parametrize(("n", "k"), [(2, None), (7, None), (64, None), (9, 2), (9, 8)])
def test_linear_quadratic(n, k):
    """The only parabola that goes on smoothly from the line and ends at t = 0."""
    made = levels.linear_quadratic(n, 0.025, k)
    half = n // 2 if k is None else k
    slope = 0.025 / half
    rows = [[half**2, half, 1], [2 * half, 1, 0], [n**2, n, 1]]
    parabola = np.linalg.solve(np.array(rows, float), [0.025, slope, 1.0])
    gone = [slope * i if i <= half else float(np.polyval(parabola, i)) for i in range(n + 1)]
    np.testing.assert_allclose(made.t, 1.0 - np.array(gone), atol=1e-11)


def test_linear_quadratic_is_that_of_mochi():
    """Ten steps of its pipeline: five of 0.005, then second differences of 0.038."""
    t = levels.linear_quadratic(10).t
    np.testing.assert_allclose(t[:6], [1, 0.995, 0.99, 0.985, 0.98, 0.975], atol=1e-11)
    np.testing.assert_allclose(t[6:], [0.932, 0.813, 0.618, 0.347, 0.0], atol=1e-11)
    assert levels.linear_quadratic(1).t == pytest.approx([1.0, 0.0])


def test_bong_tangent():
    """Known answers, worked out from the two arctangents apart from this code."""
    with mp.workdps(30):
        count, p = 12, 7
        steep = mp.mpf(8) / count

        def stage(size, pivot, first, last):
            values = [-mp.atan(steep * (i - pivot)) for i in range(size)]
            return [
                last + (first - last) * (v - values[-1]) / (values[0] - values[-1]) for v in values
            ]

        expected = stage(p, p, 1, mp.mpf(0.5))[:-1] + stage(count - p, 0, mp.mpf(0.5), 0)
    made = levels.bong_tangent(10)
    np.testing.assert_allclose(made.t, [float(t) for t in expected], rtol=1e-12, atol=1e-12)
    assert levels.bong_tangent(1).t == pytest.approx([1.0, 0.0])
    scaled = levels.bong_tangent(10, sigma_max=14.6)
    np.testing.assert_allclose(scaled.sigma, 14.6 * made.t, rtol=1e-11)
    for n in (1, 2, 3, 20, 100):
        assert len(levels.bong_tangent(n)) == n


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: levels.polyexponential(5, rho=-1.0), "rho must be positive and finite, got -1.0"),
        (lambda: levels.uniform_lambda(5, process.vp(), 0.5, 0.1), "t_min must be below t_max"),
        (lambda: levels.uniform_t(5, process.vp(), power=0), "power must be positive"),
        (lambda: levels.uniform_t(5, LATENT, -0.5, power=2), "t_min must not be negative"),
        (lambda: levels.kl_optimal(0), "n must be a positive whole number"),
        (lambda: levels.kl_optimal(5, 2.0, 1.0), "sigma_min must be below sigma_max"),
        (lambda: levels.laplace(5, beta=0.0), "beta must be positive and mu finite, got 0.0"),
        (lambda: levels.laplace(5, mu=INF), "mu finite, got 0.5 and inf"),
        (lambda: levels.laplace(1, 500.0, 600.0, final_zero=False), "at least one step"),
        (lambda: levels.beta_sigmas(5, alpha=0.0), r"alpha must lie in \(0, 1000\], got 0.0"),
        (lambda: levels.beta_sigmas(5, beta=NAN), "beta must lie in .* got nan"),
        (lambda: levels.ays(5, "sd2"), "model must be one of sd1, sdxl, svd, got 'sd2'"),
        (lambda: levels.flow_shift(5, 0.0), "shift must be positive and finite, got 0.0"),
        (lambda: levels.flow_shift(5, power=NAN), "power must be positive and finite, got nan"),
        (lambda: levels.flow_shift(5, t_max=1.5), "expected 0 < t_min < t_max <= 1"),
        (lambda: levels.flow_shift(5, t_min=0.0), "expected 0 < t_min < t_max <= 1, got 0.0"),
        (lambda: levels.flow_shift(5, terminal=1.0), "terminal must lie strictly"),
        (lambda: levels.flow_mu(0), "tokens must be positive"),
        (lambda: levels.linear_quadratic(5, 1.0), "threshold must lie strictly .* got 1.0"),
        (lambda: levels.linear_quadratic(5, linear_steps=5), "linear_steps must lie between 1"),
        (lambda: levels.bong_tangent(5, middle=1.0), "start > middle > end"),
        (lambda: levels.bong_tangent(5, pivot=0.1), "pivot must leave each stage two levels of 7"),
        (lambda: levels.bong_tangent(5, slope=0.0), "slope above 0"),
        (lambda: levels.bong_tangent(5, sigma_max=-1.0), "sigma_max must be positive"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_terminal_leaves_the_first_level_as_it_is():
    assert levels.flow_shift(5, 3.0, terminal=0.1).sigma[0] == 1e12
