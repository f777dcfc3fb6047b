# SPDX-License-Identifier: Apache-2.0
"""How a run begins and ends: the analytic first step, other last steps, a last denoising."""

import functools

import numpy as np
import pytest
import torch
from cases import CASES, ids

import pydiffcore
from pydiffcore import exact, levels, process, samplers


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_afs_saves_one_call_of_any_sampler(case):
    given = case.levels(6)
    whole = pydiffcore.trace(case.sampler, given, **case.options)
    plan = pydiffcore.trace(samplers.afs(case.sampler), given, **case.options)
    assert plan.nfe == whole.nfe - 1
    assert np.array_equal(plan.sigma, whole.sigma[1:])
    assert plan.sigma_init == whole.sigma_init
    assert plan.sampler.startswith(f"afs({case.sampler.__name__})")


@pytest.mark.parametrize("sampler", [samplers.euler, samplers.heun, samplers.dpmpp_2m_sde])
def test_fused_is_direct(sampler, mixture):
    run = {"shape": (3,), "seeds": range(64), "dtype": torch.float64}
    given = levels.karras(9)
    plan = pydiffcore.trace(samplers.afs(sampler), given)
    fused = pydiffcore.sample(mixture, plan, **run)
    direct = pydiffcore.direct(samplers.afs(sampler), mixture, given, **run)
    assert float((fused - direct).abs().max() / direct.abs().max()) <= 1e-10


def test_the_first_answer_in_closed_form():
    """D = x(1 − σ/sqrt(1 + σ²)): at σ = 80 it is 1/12801 of x, and no digit is lost."""
    given = levels.explicit([80.0, 10.0, 0.0])
    plan = pydiffcore.trace(samplers.afs(samplers.euler), given)
    share = 1 / (np.sqrt(6401) * (np.sqrt(6401) + 80))
    expected = share + (10 / 80) * (1 - share)
    assert plan.A[0, 0, 0] == pytest.approx(expected, rel=1e-15)
    clipped = pydiffcore.trace(samplers.afs(samplers.ddim), given, clip=(-1, 1))
    assert clipped.A[0, 0, 0] == pytest.approx(expected, rel=1e-15)


def test_the_first_answer_is_right_where_the_state_is_noise():
    """Against the exact ODE on data of unit variance: 1e-3 at σ = 80, and far off at σ = 1."""
    data = exact.gaussian(np.zeros(1), np.ones(1))
    for sigma, low, high in ((80.0, 0.0, 1e-3), (1.0, 0.05, 1.0)):
        given = levels.explicit([sigma, sigma / 2, 0.0])
        x = sigma * np.ones((1, 1))
        with_network = samplers.euler(x, data, given, None)
        without = samplers.afs(samplers.euler)(x, data, given, None)
        assert low <= abs(without / with_network - 1).max() <= high


def test_names_of_bound_options_are_kept():
    bound = functools.partial(samplers.heun, churn=5.0)
    assert pydiffcore.trace(samplers.afs(bound), levels.karras(4)).sampler == "afs(heun)(churn=5.0)"
    with pytest.raises(ValueError, match="never called the denoiser"):
        pydiffcore.trace(samplers.afs(samplers.euler), levels.karras(1))


def test_a_learned_variance_after_the_first_step():
    plan = pydiffcore.trace(
        samplers.afs(functools.partial(samplers.ddpm, variance="small")), levels.karras(4)
    )
    assert plan.nfe == 3
    with pytest.raises(pydiffcore.TraceError, match="after the last network call"):
        pydiffcore.trace(samplers.afs(samplers.ddpm), levels.karras(4), variance="learned_range")


def test_ending_changes_the_last_steps_alone():
    given = levels.karras(8)
    whole = pydiffcore.trace(samplers.dpmpp_2m, given)
    plan = pydiffcore.trace(samplers.ending(samplers.dpmpp_2m, steps=3), given)
    euler = pydiffcore.trace(samplers.euler, given)
    assert plan.sampler == "ending(dpmpp_2m, euler, 3)"
    assert np.array_equal(plan.A[:5], whole.A[:5])
    assert np.allclose(plan.A[6:, 0, 0], euler.A[6:, 0, 0], rtol=1e-14)
    assert np.allclose(plan.B[6:, 0], euler.B[6:, 0], rtol=1e-14)
    assert not np.allclose(whole.B[6, 0], euler.B[6, 0])
    assert plan.x0_error.max() <= 1e-12


def test_ending_with_a_given_method_and_options():
    plan = pydiffcore.trace(
        samplers.ending(samplers.heun, samplers.ancestral, 2), levels.karras(5), churn=10.0
    )
    assert plan.nfe == 2 * 3 + 2
    assert plan.sampler == "ending(heun, ancestral, 2)(churn=10.0)"
    assert plan.is_stochastic
    for steps in (5, 9):
        with pytest.raises(
            ValueError, match=f"steps is {steps}, but karras.* has 5: expected at le"
        ):
            pydiffcore.trace(samplers.ending(samplers.heun, steps=steps), levels.karras(5))
    for wrong in (0, 1.5):
        with pytest.raises(ValueError, match=f"steps is {wrong}, expected a whole number"):
            samplers.ending(samplers.heun, steps=wrong)


def test_what_is_no_sampler_is_refused_at_once():
    for make in (samplers.ending, samplers.afs, samplers.denoise_to_zero):
        with pytest.raises(TypeError, match="sampler is 'heun', expected a function"):
            make("heun")
    with pytest.raises(TypeError, match="last is 'euler', expected a function"):
        samplers.ending(samplers.heun, "euler")


def test_ending_of_levels_that_rise_before_they_fall():
    given = levels.explicit([80.0, 10.0, 1.0, 5.0, 1.0, 0.3, 0.0], rising=True)
    plan = pydiffcore.trace(samplers.ending(samplers.restart, steps=2), given)
    whole = pydiffcore.trace(samplers.restart, given)
    euler = pydiffcore.trace(samplers.euler, levels.explicit([1.0, 0.3, 0.0]))
    assert plan.draws == whole.draws == 1
    assert np.array_equal(plan.sigma[-2:], euler.sigma)
    assert np.allclose(plan.A[-2:, 0, 0], euler.A[-2:, 0, 0], rtol=1e-14)


def test_denoise_to_zero_is_a_final_zero_where_the_last_step_is_euler_s():
    above = levels.karras(8, final_zero=False)
    below = levels.explicit([*above.sigma, 0.0])
    a = pydiffcore.trace(samplers.denoise_to_zero(samplers.dpmpp_2m), above)
    b = pydiffcore.trace(samplers.dpmpp_2m, below)
    assert a.nfe == b.nfe == 9
    assert np.array_equal(a.A, b.A)
    assert np.array_equal(a.B, b.B)
    assert a.sampler == "denoise_to_zero(dpmpp_2m)"
    with pytest.raises(ValueError, match="final_zero=False"):
        pydiffcore.trace(samplers.denoise_to_zero(samplers.euler), levels.karras(3))


def test_levels_of_a_part_keep_their_process():
    given = levels.uniform_t(6, process.vp())
    plan = pydiffcore.trace(samplers.ending(samplers.tcd, samplers.tcd), given, eta=0.5)
    assert plan.nfe == 6
