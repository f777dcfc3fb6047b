# SPDX-License-Identifier: Apache-2.0
"""What a plan says of itself: registers, marginals, file, text."""

import dataclasses
import functools
import itertools
import json

import numpy as np
import pytest
import torch
from cases import CASES, EXACT, STOCHASTIC, ids

from pydiffcore import Plan, direct, levels, prediction, process, samplers, trace

SIZES = [1, 2, 5, 18, 100]


def plan_of(case, n=18, **kw):
    return trace(case.sampler, case.levels(n), prediction.edm(), **case.options, **kw)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("case", EXACT, ids=ids(EXACT))
def test_exact_family_has_the_exact_marginal(case, n):
    plan = plan_of(case, n)
    rounding = 1e-14 * max(100.0, plan.amplification)  # of exp and log: these differ by processor
    assert plan.x0_error.max() <= rounding
    assert np.abs(plan.noise_ratio - 1).max() <= rounding


def test_s_noise_misses_the_marginal_by_its_known_amount():
    """Variance after churn: sigma² + s²(sigma_hat² − sigma²)."""
    plan = trace(samplers.heun, levels.karras(18), churn=20.0, s_noise=1.003)
    gamma = min(20 / 18, np.sqrt(2) - 1)
    expected = np.sqrt((1 + 1.003**2 * ((1 + gamma) ** 2 - 1)) / (1 + gamma) ** 2)
    assert plan.noise_ratio[0] == pytest.approx(expected, rel=1e-12)


def test_ddpm_with_large_variance_against_its_closed_form():
    """One step: (sigma_next²/sigma)² + beta of the VP frame."""
    sigma = [10.0, 2.0, 0.5]
    plan = trace(samplers.ddpm, levels.explicit([*sigma, 0.0]), variance="large")
    variance = sigma[0] ** 2
    for a, b in itertools.pairwise(sigma):
        beta = (a**2 - b**2) * (1 + b**2) / (1 + a**2)
        variance = variance * (b / a) ** 4 + beta
    assert plan.noise_ratio[2] * sigma[2] == pytest.approx(np.sqrt(variance), rel=1e-12)


def test_langevin_against_its_closed_form():
    """Each step: variance·(1 − α/(2σ²))² + α."""
    sigmas = [1.0, 0.5]
    plan = trace(samplers.langevin, levels.explicit(sigmas), step=0.05, repeats=2)
    variance, found = 1.0, []
    for sigma in sigmas:
        alpha = 0.05 * (sigma / 0.5) ** 2
        for _ in range(2):
            found.append(np.sqrt(variance) / sigma)
            variance = variance * (1 - alpha / (2 * sigma**2)) ** 2 + alpha
    assert plan.noise_ratio[:-1] == pytest.approx(found, rel=1e-12)


def test_reverse_diffusion_ve_widens_as_known():
    """X' = X + G²·score + G z with G² = σ² − σ'²: deviation² = σ'⁴/σ² + G²."""
    ve = process.ve(sigma_min=0.01, sigma_max=50.0)
    lv = levels.uniform_t(21, ve, final_zero=False)
    plan = trace(samplers.reverse_diffusion, lv, process=ve)
    a, b = plan.sigma[0], plan.sigma[1]
    expected = np.sqrt(b**4 / a**2 + a**2 - b**2) / b
    assert plan.noise_ratio[1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_registers_are_the_fewest(case):
    assert plan_of(case).registers == case.registers


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_stochastic_is_derived(case):
    assert plan_of(case).is_stochastic == (case in STOCHASTIC)


def test_heun_costs_one_call_less_than_two_per_level():
    assert trace(samplers.heun, levels.karras(18)).nfe == 35


def test_a_draw_that_is_used_twice_is_folded_into_a_register():
    """Two-stage SDE step: the stage's noise is used again in the full step."""

    def seeds_like(x, denoise, levels, noise):
        for sigma, sigma_next in levels.steps():
            mid = (sigma + sigma_next) / 2
            z = noise()
            D = denoise(x, sigma)
            stage = 0.5 * x + 0.5 * D + 0.1 * z
            x = 0.4 * x + 0.2 * D + 0.4 * denoise(stage, mid) + 0.3 * z
        return x

    assert trace(seeds_like, levels.karras(4)).registers == 2


def test_corrector_needs_a_mixed_register():
    """A corrector reads past values in one combination only: own variables would be one more."""

    def corrector(x, denoise, levels, noise):
        previous, before = None, None
        for sigma, _sigma_next in levels.steps():
            D = denoise(x, sigma)
            if previous is not None:
                x = 0.3 * before + 0.5 * previous + 0.2 * D
            before, previous = x, D
            x = 0.6 * x + 0.4 * D
        return x

    plan = trace(corrector, levels.karras(6))
    assert plan.registers == 2


def test_dead_code_costs_nothing():
    def wasteful(x, denoise, levels, noise):
        for sigma, sigma_next in levels.steps():
            D = denoise(x, sigma)
            _unused = 3 * x - D + noise()
            x = D + sigma_next / sigma * (x - D)
        return x

    plan = trace(wasteful, levels.karras(5))
    assert (plan.registers, plan.is_stochastic) == (1, False)


@pytest.mark.parametrize("sigmas", [[100, 8e-8, 8e-9, 0], [1e8, 1e-2, 1e-3, 0]])
@pytest.mark.parametrize("sampler", [samplers.dpmpp_2m, samplers.heun, samplers.lms])
def test_huge_level_ratios_lose_no_variable(sampler, sigmas):
    plan = trace(sampler, levels.explicit(sigmas))
    tolerance = 1e-6 if sampler is samplers.heun else 1e-9  # heun cancels at such ratios itself
    assert np.abs(plan.noise_ratio - 1).max() < tolerance * max(1.0, plan.amplification)


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        (samplers.ancestral, {"eta": -0.5}),
        (samplers.ddim, {"eta": -0.5}),
        (samplers.dpmpp_2m_sde, {"eta": float("nan")}),
        (samplers.heun, {"churn": -3}),
        (samplers.ddpm, {"variance": "medium"}),
        (samplers.lms, {"order": 0}),
        (samplers.langevin, {"step": -1.0}),
        (samplers.pf_heun, {"process": process.vp(), "stage": 0}),
    ],
)
def test_options_out_of_range_are_named(sampler, options):
    with pytest.raises(ValueError, match=f"{list(options)[-1]} is"):
        trace(sampler, levels.karras(6), **options)


@pytest.mark.parametrize("scalar", [np.float32, np.float16, torch.tensor])
def test_a_scalar_of_another_library_loses_no_digits(scalar):
    """A float32 option would make coefficients float32, 1e-7 off, under another name."""
    listed, exact = levels.karras(5), float(scalar(0.3))
    plan = trace(samplers.dpmpp_2m_sde, listed, eta=scalar(0.3))
    assert plan.hash == trace(samplers.dpmpp_2m_sde, listed, eta=exact).hash
    run = functools.partial(
        direct, samplers.dpmpp_2m_sde, lambda x, sigma: x / 2, listed, shape=(2,), seeds=[1]
    )
    assert torch.equal(run(eta=scalar(0.3)), run(eta=exact))
    held = functools.partial(samplers.dpmpp_2m_sde, eta=scalar(0.3))
    assert trace(held, listed).hash == plan.hash
    between = trace(samplers.sa_solver, listed, tau=(scalar(0.3), scalar(40.0), scalar(0.3)))
    expected = trace(samplers.sa_solver, listed, tau=(exact, 40.0, exact))
    assert between.hash == expected.hash


def test_a_gradient_goes_through_an_option_of_the_direct_run():
    weight = torch.tensor(0.7, requires_grad=True)

    def own(x, denoise, levels, noise, *, weight):
        return weight * denoise(x, levels.sigma[0])

    direct(
        own, lambda x, sigma: x, levels.karras(1), shape=(2,), seeds=[1], weight=weight
    ).sum().backward()
    assert weight.grad


def test_an_option_that_a_sampler_does_not_have_is_named():
    with pytest.raises(TypeError, match=r"^heun has no option 's_churn': expected one of churn, "):
        trace(samplers.heun, levels.karras(5), s_churn=40.0)
    with pytest.raises(TypeError, match=r"^euler has no option 'eta': it has none$"):
        trace(samplers.euler, levels.karras(5), eta=1.0)
    last = samplers.ending(samplers.dpmpp_2m_sde)  # takes whatever the sampler takes
    assert trace(last, levels.karras(5), eta=0.5).draws

    def own(x, denoise, levels, noise, weight=1.0):
        for sigma, sigma_next in levels.steps():
            x = weight * denoise(x, sigma) + (sigma_next / sigma) * (x - denoise(x, sigma))
        return x

    assert trace(own, levels.karras(2), weight=0.5).nfe == 4

    def passes_on(*args, eta=1.0):
        return samplers.dpmpp_2m_sde(*args, eta=eta)

    @functools.wraps(samplers.euler)
    def wrapper(*args, verbose=False, **options):
        return samplers.euler(*args, **options)

    assert trace(passes_on, levels.karras(5), eta=0.5).draws
    assert trace(wrapper, levels.karras(5), verbose=True).nfe == 5


def test_a_partial_is_named_like_its_function():
    partial = functools.partial(samplers.heun, churn=20.0)
    assert trace(partial, levels.karras(4)) == trace(samplers.heun, levels.karras(4), churn=20.0)


def test_a_step_to_zero_forgets_the_state_exactly():
    plan = trace(samplers.euler, levels.karras(7))
    assert plan.A[-1, 0, 0] == 0.0
    assert plan.B[-1, 0] == 1.0


def test_scaled_registers_hold_alpha_times_x():
    vp = process.vp()
    plain = trace(samplers.dpmpp_2m, levels.karras(9), prediction.eps(vp))
    scaled = trace(samplers.dpmpp_2m, levels.karras(9), prediction.eps(vp), scaling=vp)
    sigma = plain.sigma
    assert scaled.scale[:-1] == pytest.approx(1 / np.sqrt(1 + sigma**2), rel=1e-9)
    assert scaled.init_scale == pytest.approx(80 / np.sqrt(1 + 80**2), rel=1e-9)
    assert scaled.noise_ratio == pytest.approx(plain.noise_ratio, abs=1e-12)
    assert scaled.hash != plain.hash


def test_amplification_sees_cancellation():
    calm = trace(samplers.euler, levels.karras(18)).amplification
    wild = trace(lambda x, D, lv, z: 1e6 * D(x, 1.0) - (1e6 - 1) * D(x, 1.0), levels.karras(1))
    assert calm < 2
    assert wild.amplification > 1e5


def test_bind_changes_the_prediction_alone():
    plan = trace(samplers.heun, levels.karras(5))
    bound = plan.bind(prediction.edm())
    assert bound == trace(samplers.heun, levels.karras(5), prediction.edm())
    assert bound != plan


def test_arrays_are_frozen():
    plan = trace(samplers.euler, levels.karras(5))
    with pytest.raises(ValueError, match="read-only"):
        plan.A[0, 0, 0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.sigma = plan.sigma


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("B", np.zeros((3, 1)), r"plan\.B has shape \(3, 1\), expected \(6, 1\)"),
        ("A", np.full((6, 1, 1), np.nan), r"plan\.A is not finite at row 0"),
        ("sigma", -np.ones(5), r"plan\.sigma"),
        ("scale", np.zeros(6), r"plan\.scale"),
        ("registers_out", np.full(6, 2), r"plan\.registers_out"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused(field, value, says):
    plan = trace(samplers.euler, levels.karras(5))
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(plan, **{field: value})


def test_file_round_trip(tmp_path):
    plan = trace(samplers.heun, levels.karras(6), prediction.edm(), churn=9.0, clip=(-1, 1))
    plan.save(tmp_path / "plan.json")
    loaded = Plan.load(tmp_path / "plan.json")
    assert loaded == plan
    assert np.array_equal(loaded.A, plan.A)
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]
    assert Plan.from_json(plan.to_json()) == plan


def test_altered_and_truncated_files_are_refused(tmp_path):
    path = tmp_path / "plan.json"
    trace(samplers.euler, levels.karras(3)).save(path)
    whole = path.read_text()
    content = json.loads(whole)
    content["B"][1][0] += 1e-15
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="was altered"):
        Plan.load(path)
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="truncated"):
        Plan.load(path)
    path.write_text("{}")
    with pytest.raises(ValueError, match="not of the format"):
        Plan.load(path)
    content.pop("A")
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="whole plan"):
        Plan.load(path)


def test_the_hash_is_stable():
    """The plan of a sampler is data: another release may not change it unnoticed."""
    plan = trace(samplers.euler, levels.explicit([4.0, 2.0, 1.0, 0.0]), prediction.denoised())
    again = trace(samplers.euler, levels.explicit([4.0, 2.0, 1.0, 0.0]), prediction.denoised())
    assert plan.hash == again.hash
    assert len(plan.hash) == 64


def test_text_shows_every_row_or_says_how_many_it_hides():
    plan = trace(samplers.euler, levels.karras(40))
    assert "rows more" in str(plan)
    full = plan.format(None)
    assert "rows more" not in full
    assert len(full.splitlines()) == 41 + 5


def test_plot_writes_a_picture(tmp_path):
    trace(samplers.dpmpp_2m_sde, levels.karras(10)).plot(tmp_path / "plan.png")
    assert (tmp_path / "plan.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_a_thousand_steps_compile(case):
    plan = plan_of(case, 1000)
    assert plan.nfe >= 999
    assert np.isfinite(plan.A).all()
