# SPDX-License-Identifier: Apache-2.0
"""Tables of betas against diffusers, and where it has none against their definitions."""

import math

import mpmath as mp
import numpy as np
import pytest

from pydiffcore import levels, process


def of_diffusers(schedule, scheduler="DDPMScheduler", **options):
    diffusers = pytest.importorskip("diffusers")
    made = getattr(diffusers, scheduler)(beta_schedule=schedule, **options)
    return made.betas.double().numpy()


@pytest.mark.parametrize(
    ("ours", "schedule", "options"),
    [
        (process.linear_betas, "linear", {}),
        (process.quad_betas, "scaled_linear", {}),
        (process.cosine_betas, "squaredcos_cap_v2", {}),
        (process.sigmoid_betas, "sigmoid", {}),
        (process.laplace_diffusers_betas, "laplace", {}),
        (process.exp_betas, "exp", {"scheduler": "HeunDiscreteScheduler"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("n", [10, 100, 1000])
def test_betas_equal_those_of_diffusers(ours, schedule, options, n):
    ends = (
        {} if schedule in ("squaredcos_cap_v2", "laplace", "exp") else {"start": 1e-4, "end": 0.02}
    )
    theirs = of_diffusers(
        schedule, num_train_timesteps=n, beta_start=1e-4, beta_end=0.02, **options
    )
    np.testing.assert_allclose(ours(n, **ends), theirs, rtol=2e-5, atol=1e-7)


def test_scaled_linear_has_the_ends_of_latent_diffusion():
    theirs = of_diffusers("scaled_linear", beta_start=0.00085, beta_end=0.012)
    np.testing.assert_allclose(process.scaled_linear_betas(), theirs, rtol=1e-5)


def test_quad_is_scaled_linear_with_the_ends_of_ddpm():
    np.testing.assert_array_equal(
        process.quad_betas(7), process.scaled_linear_betas(7, start=1e-4, end=0.02)
    )
    roots = np.sqrt(process.quad_betas(7))
    np.testing.assert_allclose(np.diff(roots), (np.sqrt(0.02) - 0.01) / 6, rtol=1e-13)


def test_const_jsd_and_warmup():
    assert process.const_betas(3, 0.5).tolist() == [0.5, 0.5, 0.5]
    assert process.jsd_betas(4).tolist() == [1 / 4, 1 / 3, 1 / 2, 1.0]
    np.testing.assert_allclose(
        process.discrete(process.jsd_betas(10)).alpha(np.arange(10)) ** 2,
        np.linspace(0.9, 0.0, 10),
        atol=1e-15,
    )
    assert process.warmup_betas(10, 0.1, 0.3, fraction=0.3) == pytest.approx(
        [0.1, 0.2, 0.3] + [0.3] * 7
    )
    for fraction, spaced in ((0.1, 100), (0.5, 500)):
        betas = process.warmup_betas(fraction=fraction)
        np.testing.assert_array_equal(betas[:spaced], np.linspace(1e-4, 0.02, spaced))
        assert np.all(betas[spaced:] == 0.02)


def test_exp_is_exponential():
    made = process.discrete(process.exp_betas())
    index = np.arange(1000)
    np.testing.assert_allclose(made.alpha(index) ** 2, np.exp(-12 * (index + 1) / 1000), rtol=1e-10)


def test_ranges_of_the_field():
    """What each table makes of its ends, computed apart from this code."""
    for betas, low, high in (
        (process.sigmoid_betas(), 0.0122, 158.7),
        (process.exp_betas(), 0.110, 403.4),
        (process.laplace_diffusers_betas(), 0.147, 5.53),
        (process.cosine_betas(), 0.0064, 2.03e4),
    ):
        assert process.discrete(betas).level([0, 999]) == pytest.approx([low, high], rel=5e-3)


def test_alpha_bar_of_any_curve():
    for cos in (np.cos, math.cos):  # of math as users of diffusers' betas_for_alpha_bar write it
        made = process.alpha_bar_betas(lambda t, c=cos: c(np.pi / 2 * (t + 0.008) / 1.008) ** 2, 50)
        np.testing.assert_allclose(made, process.cosine_betas(50), rtol=1e-12)
    with np.errstate(divide="ignore"):  # flow's, whose signal over noise has a pole at t = 1
        made = process.alpha_bar_betas(lambda t: 1 / (1 + (t / (1 - t)) ** 2), 10)
    assert made[0] == pytest.approx(1 - 0.81 / 0.82)
    assert made[-1] == 0.999


def test_zero_terminal_signal_is_that_of_diffusers():
    theirs = of_diffusers(
        "scaled_linear", beta_start=0.00085, beta_end=0.012, rescale_betas_zero_snr=True
    )
    ours = process.rescale_zero_terminal_snr(process.scaled_linear_betas())
    np.testing.assert_allclose(ours, theirs, rtol=2e-3)  # theirs in float32
    assert ours[-1] == 1.0
    assert ours[0] == process.scaled_linear_betas()[0]


def test_zero_terminal_signal_by_its_definition():
    betas = process.linear_betas(50)
    made = process.discrete(process.rescale_zero_terminal_snr(betas))
    with mp.workdps(40):
        roots, total = [], mp.mpf(1)
        for beta in betas:
            total *= 1 - mp.mpf(float(beta))
            roots.append(mp.sqrt(total))
        first, last = roots[0], roots[-1]
        expected = [float((root - last) * first / (first - last)) for root in roots]
    np.testing.assert_allclose(made.alpha(np.arange(50)), expected, rtol=1e-11, atol=1e-15)
    assert made.level(49) == np.inf


def test_levels_of_zero_terminal_signal_are_finite():
    made = process.discrete(process.rescale_zero_terminal_snr(process.scaled_linear_betas()))
    chosen = levels.trailing(10, made)
    assert chosen.sigma[0] == 1e12
    assert chosen.alpha[0] == pytest.approx(0.0, abs=1e-11)
    capped = process.rescale_zero_terminal_snr(process.scaled_linear_betas(), 4.8973451890853435e-8)
    assert process.discrete(capped).level(999) == pytest.approx(4518.76, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: process.linear_betas(0), "n must be a positive integer, got 0"),
        (lambda: process.linear_betas(10, 0.0, 0.1), "start must lie strictly"),
        (lambda: process.cosine_betas(10, offset=0.0), "offset"),
        (lambda: process.const_betas(10, 1.0), "must lie strictly between 0 and 1, got 1.0"),
        (lambda: process.jsd_betas(1), "n must be at least 2, got 1"),
        (lambda: process.warmup_betas(10, fraction=1.5), "fraction must lie in"),
        (lambda: process.sigmoid_betas(10, width=0), "width must be a positive"),
        (lambda: process.exp_betas(10, rate=-1.0), "rate must be a positive"),
        (lambda: process.laplace_diffusers_betas(10, 1.0), "must lie strictly"),
        (lambda: process.alpha_bar_betas(np.exp, 4), "alpha_bar must fall; .* t = 0/4 to 1/4"),
        (lambda: process.rescale_zero_terminal_snr([0.1]), r"shape \[N\] with N >= 2"),
        (lambda: process.rescale_zero_terminal_snr([0.1, 1.0]), r"betas\[1\] is .*1.0"),
        (lambda: process.rescale_zero_terminal_snr([0.1, 0.2], 0.95), "last_alpha_bar must lie"),
    ],
)
def test_bad_parameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
