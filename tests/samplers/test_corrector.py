# SPDX-License-Identifier: Apache-2.0
"""Predictor–corrector and annealed Langevin: closed forms, and the law at a level."""

import functools

import numpy as np
import pytest
import torch
from samplers.test_law import MEAN, STD, gaussian_law
from scipy import optimize, stats

import pydiffcore
from pydiffcore import exact, levels, process, samplers

N = 20_000


@pytest.mark.parametrize("given", [levels.uniform_t(8, process.vp()), levels.karras(8)])
def test_without_corrections_it_is_its_predictor(given):
    def plan(predictor):
        return pydiffcore.trace(
            samplers.predictor_corrector, given, predictor=predictor, corrections=0
        )

    preserves = given.process == process.vp()
    ancestral = functools.partial(samplers.ddpm, variance="large" if preserves else "small")
    for name, sampler in (("euler", samplers.euler), ("ancestral", ancestral)):
        expected = pydiffcore.trace(sampler, given)
        np.testing.assert_allclose(plan(name).A, expected.A, rtol=1e-13)
        np.testing.assert_allclose(plan(name).S, expected.S, rtol=1e-13)


def test_ancestral_on_vp_is_equation_4():
    """x' = (x + β s)/sqrt(1 − β) + sqrt(β) z in the frame x_t, β = 1 − (alpha/alpha_next)²."""
    vp = process.vp()
    given = levels.explicit_t([1.0, 0.8, 0.6, 0.3], vp)
    plan = pydiffcore.trace(
        samplers.predictor_corrector, given, predictor="ancestral", corrections=0, scaling=vp
    )
    beta = 1 - (given.alpha[:-1] / given.alpha[1:]) ** 2
    np.testing.assert_allclose(plan.S[1:4, 0, 0], np.sqrt(beta[:3]), rtol=1e-12)
    assert plan.draws == 3  # none to 0
    x, score = 0.7, -0.3
    D = (x + (given.alpha * given.sigma)[0] ** 2 * score) / given.alpha[0]
    mean = plan.A[1, 0, 0] * x + plan.B[1, 0] * D
    assert mean == pytest.approx((x + beta[0] * score) / np.sqrt(1 - beta[0]), rel=1e-12)


@pytest.mark.parametrize("predictor", ["ancestral", "reverse_diffusion"])
def test_the_last_predictor_draws_where_it_is_told(predictor):
    given = levels.uniform_t(3, process.vp(), final_zero=False)
    draws = [
        pydiffcore.trace(
            samplers.predictor_corrector, given, predictor=predictor, corrections=0,
            final_noise=final,
        ).draws
        for final in (False, True)
    ]  # fmt: skip
    assert draws == [2, 3]


def test_its_reverse_diffusion_is_that_of_the_process():
    given = levels.uniform_t(8, process.vp(), final_zero=False)
    a = pydiffcore.trace(samplers.predictor_corrector, given, corrections=0, final_noise=True)
    b = pydiffcore.trace(samplers.reverse_diffusion, given, process=process.vp(), final_noise=True)
    for name in ("A", "B", "S"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-12, atol=1e-14)


def test_a_correction_is_a_langevin_step_relative_to_the_level():
    """Variance after one: (1 − δ)² v + 2δσ², for data without spread; calls: one more a level."""
    given = levels.explicit([3.0, 1.0, 0.0])
    plan = pydiffcore.trace(
        samplers.predictor_corrector, given, predictor="euler", corrections=2, delta=0.1
    )
    assert plan.nfe == 6
    variance = 1.0
    for call in range(2):
        assert plan.noise_ratio[call] ** 2 == pytest.approx(variance, rel=1e-12)
        variance = 0.81 * variance + 0.2
    assert plan.noise_ratio[2] ** 2 == pytest.approx(variance, rel=1e-12)


def test_none_anneals_by_the_corrector_alone():
    given = levels.explicit([3.0, 1.0, 0.0])
    plan = pydiffcore.trace(
        samplers.predictor_corrector, given, predictor="none", corrections=1, delta=0.1
    )
    assert plan.sigma.tolist() == [3.0, 3.0, 1.0, 1.0]
    assert plan.A[2, 0, 0] == 1.0
    assert plan.B[2, 0] == 0.0
    assert plan.A[4, 0, 0] == 0.0
    assert plan.B[4, 0] == 1.0


def test_corrections_settle_on_the_level_s_law():
    """A deviation of 30 % too much is gone after corrections; N = 20,000 finds out 3 %.

    In the limit a Langevin step of size δ misses the deviation by a share of order δ, here 0.3 %.
    """
    data = exact.mixture([0.5, 0.5], [[-0.5], [0.5]], [0.4, 0.4])
    plan = pydiffcore.trace(
        samplers.predictor_corrector,
        levels.explicit([0.5, 0.4999]),
        predictor="none",
        corrections=300,
        delta=0.01,
    )
    start = np.random.default_rng(1)
    x = 1.3 * (data.sample(N, start) + 0.5 * start.standard_normal((N, 1)))
    out = pydiffcore.sample(data, plan, shape=(1,), seeds=range(N), x=torch.as_tensor(x).float())

    def distance(values):
        return stats.kstest(np.asarray(values).ravel(), lambda v: data.cdf(v, 0.5)).statistic

    assert distance(x) > 0.05
    assert distance(out.double()) < 0.019


@pytest.mark.parametrize("denoise_last", [None, True, False])
def test_langevin_ends_as_it_is_told(denoise_last):
    options = {"step": 1e-3, "repeats": 2, "denoise_last": denoise_last}
    for last, by_itself in ((0.0, 1), (0.2, 0)):
        given = levels.explicit([1.0, 0.4, last])
        plan = pydiffcore.trace(samplers.langevin, given, **options)
        steps = 2 * int((given.sigma > 0).sum())
        assert plan.nfe == steps + (by_itself if denoise_last is None else denoise_last)


def test_the_conventions_differ_by_a_factor_of_two():
    given = levels.exponential(4, sigma_min=0.1, sigma_max=1.0)
    a = pydiffcore.trace(samplers.langevin, given, step=2e-4, repeats=2)
    b = pydiffcore.trace(samplers.langevin, given, step=1e-4, repeats=2, convention="ncsnv2")
    for name in ("A", "B", "S"):
        assert np.array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize(("n", "repeats"), [(232, 5), (10, 100)])
def test_ncsnv2_step_is_the_least_of_its_equation(n, repeats):
    """Technique 4 against a general minimiser, and its variance against the plan's own."""
    given = levels.exponential(n, sigma_min=0.01, sigma_max=50.0)
    step = samplers.ncsnv2_step(given, repeats)
    gamma2 = (50.0 / 0.01) ** (2 / (n - 1))

    def distance(log_e):
        e = np.exp(log_e)
        ratio = 2 * e / (1 - (1 - e) ** 2)
        return abs((1 - e) ** (2 * repeats) * (gamma2 - ratio) + ratio - 1)

    found = optimize.minimize_scalar(distance, bounds=(-12, -0.1), method="bounded")
    assert distance(np.log(step / 0.01**2)) <= found.fun * (1 + 1e-6)
    plan = pydiffcore.trace(
        samplers.langevin, given, step=step, repeats=repeats, convention="ncsnv2"
    )
    ends = (
        plan.noise_ratio[repeats : n * repeats : repeats] ** 2 / gamma2
    )  # variance/σ² after each level
    e = step / 0.01**2
    kept, ratio = (1 - e) ** (2 * repeats), 2 / (2 - e)
    np.testing.assert_allclose(ends[1:], kept * (gamma2 * ends[:-1] - ratio) + ratio, rtol=1e-9)


def test_the_coarse_law_sees_a_wrong_corrector():
    """The law test of the cases has the power to reject a corrector with 10 % too much noise."""
    data = exact.gaussian(np.array([MEAN]), np.array([STD]))
    plan = pydiffcore.trace(samplers.predictor_corrector, levels.karras(8), delta=0.1)
    wrong = 1.1 * torch.randn(plan.draws, N, 1)
    x = pydiffcore.sample(data, plan, shape=(1,), seeds=range(N), noise=wrong)
    assert stats.kstest(x.double().numpy().ravel(), "norm", gaussian_law(plan)).pvalue < 1e-6


@pytest.mark.parametrize(
    ("sampler", "options", "message"),
    [
        (samplers.predictor_corrector, {"predictor": "snr"}, "expected one of ancestral, euler"),
        (samplers.predictor_corrector, {"delta": 1.0}, "delta is 1.0"),
        (samplers.predictor_corrector, {"corrections": -1}, "corrections is -1"),
        (samplers.langevin, {"convention": "v3"}, "convention is 'v3'"),
        (
            samplers.predictor_corrector,
            {"corrections": 1.5},
            "corrections is 1.5, expected a whole",
        ),
        (samplers.predictor_corrector, {"delta": 0.0}, r"delta is 0.0, .* \(0, 1\); corrections=0"),
        (samplers.langevin, {"step": 0.0}, "step is 0.0"),
        (samplers.langevin, {"repeats": 1.5}, "repeats is 1.5, expected a whole number"),
    ],
)
def test_what_is_refused(sampler, options, message):
    with pytest.raises(ValueError, match=message):
        pydiffcore.trace(sampler, levels.karras(3), **options)
    with pytest.raises(ValueError, match="levels has 1 above 0, expected at least 2"):
        samplers.ncsnv2_step(levels.explicit([1.0, 0.0]), 5)


def test_langevin_steps_that_diverge_are_refused():
    given = levels.explicit([5.0, 1.0, 0.2, 0.0])
    with pytest.raises(ValueError, match=r"step is 1\.0, 25 times .* expected less than 0\.16"):
        pydiffcore.trace(samplers.langevin, given, step=1.0)
    with pytest.raises(ValueError, match=r"expected less than 0\.08"):
        pydiffcore.trace(samplers.langevin, given, step=0.081, convention="ncsnv2")
    assert pydiffcore.trace(samplers.langevin, given, step=0.15, repeats=2).amplification < 1e3


def test_tiny_levels_of_other_processes_are_not_vp():
    """alpha = 1 fulfils alpha² (1 + σ²) = 1 there but for rounding."""
    ratios = []
    for scale in (1.0, 1e-6):
        given = levels.explicit(np.array([4.0, 2.0, 1.0, 0.5]) * scale)
        plan = pydiffcore.trace(
            samplers.predictor_corrector, given, predictor="ancestral", corrections=0
        )
        ratios.append(plan.S[1:3, 0, 0] / scale)
    np.testing.assert_allclose(*ratios, rtol=1e-12)
