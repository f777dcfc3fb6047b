# SPDX-License-Identifier: Apache-2.0
"""Predictions: with the output that a perfect network gives, D is the clean sample."""

import numpy as np
import pytest

from pydiffcore import exact, prediction, process

TABLE = process.discrete(process.linear_betas())
PROCESSES = [
    process.vp(),
    process.sub_vp(),
    process.ve(),
    process.ve_sqrt(),
    process.edm(),
    process.flow(),
    TABLE,
    process.iddpm(),
]
SIGMA = np.array([1e-4, 0.01, 0.3, 1.0, 7.0, 80.0, 1e4])
X0 = np.array([0.7, -1.3, 0.2, 0.0, 2.0, -0.4, 1.0])
EPS = np.array([-0.2, 0.9, 1.4, -2.1, 0.5, 0.8, -1.1])

# What the network is trained to give, from the marginal x_t = a x0 + s eps alone.
TARGETS = {
    prediction.eps: lambda x0, eps, a, s: eps,
    prediction.x0: lambda x0, eps, a, s: x0,
    prediction.v: lambda x0, eps, a, s: a * eps - s * x0,
    prediction.score: lambda x0, eps, a, s: -(a * x0 + s * eps - a * x0) / s**2,
    prediction.velocity: lambda x0, eps, a, s: eps - x0,
}


@pytest.mark.parametrize("made", PROCESSES, ids=lambda p: p.name)
@pytest.mark.parametrize("kind", TARGETS, ids=lambda f: f.__name__)
def test_perfect_output_gives_the_clean_sample(kind, made):
    c_skip, c_out, c_in, c_noise = kind(made).coefficients(SIGMA)
    alpha = made.alpha_at(SIGMA)
    output = TARGETS[kind](X0, EPS, alpha, alpha * SIGMA)
    x = X0 + SIGMA * EPS
    # D is a difference of numbers as large as x.
    slack = 1e-14 * (1.0 + np.abs(x))
    if kind is prediction.v:
        # alpha eps - s x0 itself loses as much where s / alpha^2 is large.
        slack = slack * (1.0 + SIGMA / alpha)
    assert np.all(np.abs(c_skip * x + c_out * output - X0) <= slack)
    np.testing.assert_allclose(c_in * x, alpha * X0 + alpha * SIGMA * EPS, rtol=1e-13)
    np.testing.assert_array_equal(c_noise, made.label(made.time(SIGMA)))


def test_denoised_passes_x_and_sigma_through():
    c_skip, c_out, c_in, c_noise = prediction.denoised().coefficients(SIGMA)
    assert np.all(c_skip == 0.0)
    assert np.all(c_out == 1.0)
    assert np.all(c_in == 1.0)
    np.testing.assert_array_equal(c_noise, SIGMA)


@pytest.mark.parametrize("data", [0.5, 1.0, 0.1])
def test_edm_follows_from_unit_variances(data):
    """Karras et al., appendix B.6: unit input and target variance, least amplified output error."""
    sigma = np.array([0.002, 0.1, 0.5, 3.0, 80.0])
    c_skip, c_out, c_in, c_noise = prediction.edm(data).coefficients(sigma)
    np.testing.assert_allclose(c_in**2 * (data**2 + sigma**2), 1.0, rtol=1e-14)
    target_variance = ((1.0 - c_skip) ** 2 * data**2 + c_skip**2 * sigma**2) / c_out**2
    np.testing.assert_allclose(target_variance, 1.0, rtol=1e-9)
    for nearby in (c_skip - 1e-4, c_skip + 1e-4):
        assert np.all((1.0 - nearby) ** 2 * data**2 + nearby**2 * sigma**2 > c_out**2)
    np.testing.assert_allclose(np.exp(4.0 * c_noise), sigma, rtol=1e-14)


def test_score_prediction_gives_the_exact_denoiser():
    made = process.vp()
    data = exact.gaussian(0.3, 0.8)
    x, sigma = np.linspace(-4.0, 4.0, 9), 1.7
    alpha = made.alpha_at(sigma)
    variance = alpha**2 * 0.8**2 + (alpha * sigma) ** 2
    score_of_x_t = -(alpha * x - alpha * 0.3) / variance
    c_skip, c_out, _, _ = prediction.score(made).coefficients(sigma)
    np.testing.assert_allclose(c_skip * x + c_out * score_of_x_t, data(x, sigma), rtol=1e-12)


def test_velocity_of_flow_is_the_slope_of_the_marginal():
    made, x0, eps, h = process.flow(), 0.7, -1.2, 1e-6
    t = np.array([0.1, 0.5, 0.9])
    path = lambda t: made.alpha(t) * x0 + made.sigma(t) * eps  # noqa: E731
    slope = (path(t + h) - path(t - h)) / (2 * h)
    sigma = made.level(t)
    c_skip, c_out, c_in, c_noise = prediction.velocity().coefficients(sigma)
    np.testing.assert_allclose(c_skip * path(t) / made.alpha(t) + c_out * slope, x0, rtol=1e-8)
    np.testing.assert_allclose(c_in, 1.0 - t, rtol=1e-13)
    np.testing.assert_allclose(c_noise, 1000.0 * t, rtol=1e-13)


def test_v_of_a_variance_preserving_process_is_the_usual_formula():
    made = process.vp()
    t = np.array([0.01, 0.3, 0.8])
    alpha, sigma = made.alpha(t), made.sigma(t)
    c_skip, c_out, c_in, _ = prediction.v(made).coefficients(made.level(t))
    np.testing.assert_allclose(c_skip / c_in, alpha, rtol=1e-12)
    np.testing.assert_allclose(c_out, -sigma, rtol=1e-12)


def test_vp_column():
    c_skip, c_out, c_in, c_noise = prediction.vp().coefficients(SIGMA[:-1])
    sigma = SIGMA[:-1]
    np.testing.assert_array_equal(c_skip, 1.0)
    np.testing.assert_array_equal(c_out, -sigma)
    np.testing.assert_allclose(c_in, 1.0 / np.sqrt(sigma**2 + 1.0), rtol=1e-15)
    spread = 19.9
    time = (np.sqrt(0.1**2 + 2.0 * spread * np.log1p(sigma**2)) - 0.1) / spread
    np.testing.assert_allclose(c_noise, 999.0 * time, rtol=1e-8)


def test_ve_column():
    c_skip, c_out, c_in, c_noise = prediction.ve().coefficients(SIGMA)
    # F is sigma times the score: -eps.
    denoised = c_skip * (X0 + SIGMA * EPS) - c_out * EPS
    np.testing.assert_allclose(denoised, X0, atol=1e-11)
    np.testing.assert_array_equal(c_in, 1.0)
    np.testing.assert_allclose(c_noise, np.log(SIGMA / 2.0), rtol=1e-15)


def test_iddpm_column_labels_the_nearest_level():
    u = process.iddpm_levels()
    sigma = np.concatenate([u[:-1], [0.5, 3.3, 1e-3, 1e6, 0.0]])
    c_skip, c_out, c_in, c_noise = prediction.iddpm().coefficients(sigma)
    brute = [999 - min(range(1000), key=lambda j, s=s: abs(u[j] - s)) for s in sigma]
    np.testing.assert_array_equal(c_noise, brute)
    np.testing.assert_array_equal(c_noise[:1000], np.arange(999, -1, -1))
    np.testing.assert_array_equal(c_out, -sigma)
    np.testing.assert_array_equal(c_skip, 1.0)
    np.testing.assert_allclose(c_in, 1.0 / np.sqrt(sigma**2 + 1.0), rtol=1e-15)


EVERY = [
    prediction.denoised(),
    prediction.edm(),
    prediction.vp(),
    prediction.ve(),
    prediction.iddpm(),
    *(kind(made) for kind in TARGETS for made in PROCESSES),
]


@pytest.mark.parametrize("made", EVERY, ids=lambda p: p.name)
def test_limits_shapes_and_errors(made):
    c_skip, c_out, c_in, c_noise = made.coefficients(0.0)
    # At level 0 either x or F is already the clean sample.
    assert (c_skip, abs(c_out)) in ((1.0, 0.0), (0.0, 1.0))
    assert c_in == pytest.approx(2.0 if made == prediction.edm() else 1.0)
    assert not np.isnan(c_noise)
    for part in made.coefficients(np.ones((2, 3))):
        assert part.shape == (2, 3)
        assert part.dtype == np.float64
        assert part.flags.writeable
    for bad in (np.nan, -1.0, np.inf, [1.0, np.nan]):
        with pytest.raises(ValueError, match="sigma must be finite and not negative, got"):
            made.coefficients(bad)


def test_names_tell_predictions_apart():
    assert len(set(EVERY)) == len(EVERY)
    assert prediction.eps(process.vp()) == prediction.eps(process.vp())
    assert prediction.eps(process.vp()) != prediction.eps(process.vp(beta_max=19.0))
    assert prediction.velocity() == prediction.velocity(process.flow())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: prediction.edm(0.0), "sigma_data must be positive and finite, got 0.0"),
        (lambda: prediction.edm(float("nan")), "sigma_data .* got nan"),
        (lambda: prediction.vp(m=1), "m must be a whole number of at least 2, got 1"),
        (lambda: prediction.vp(beta_min=-1.0), "beta_min"),
        (lambda: prediction.iddpm(m=0), "m must be a positive integer, got 0"),
    ],
)
def test_bad_parameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("data", [0.5, 1.0, 0.1])
def test_trigflow_turns_on_the_sphere(data):
    """F = (cos(t) data z - sin(t) x0) / data: the velocity of x_t in units of data."""
    t = np.arctan(SIGMA / data)
    c_skip, c_out, c_in, c_noise = prediction.trigflow(data).coefficients(SIGMA)
    x = X0 + SIGMA * EPS
    F = np.cos(t) * EPS - np.sin(t) * X0 / data
    assert np.all(np.abs(c_skip * x + c_out * F - X0) <= 1e-14 * (1.0 + np.abs(x)))
    np.testing.assert_allclose(c_in * x, np.cos(t) * x / data, rtol=1e-10)
    np.testing.assert_allclose(c_noise, t, rtol=1e-14)


def test_consistency_is_the_identity_at_its_lowest_level():
    kind = prediction.consistency(0.5, 0.002)
    c_skip, c_out, _, _ = kind.coefficients(0.002)
    assert (c_skip, c_out) == (1.0, 0.0)
    c_skip, c_out, c_in, c_noise = kind.coefficients(SIGMA[1:])
    d, v = SIGMA[1:] - 0.002, SIGMA[1:] ** 2 + 0.25
    np.testing.assert_allclose(c_skip, 0.25 / (d**2 + 0.25), rtol=1e-14)
    np.testing.assert_allclose(c_out, d * 0.5 / np.sqrt(v), rtol=1e-14)
    np.testing.assert_allclose(c_in, 1 / np.sqrt(v), rtol=1e-14)
    np.testing.assert_allclose(c_noise, 250 * np.log(SIGMA[1:]), rtol=1e-14)
    with pytest.raises(ValueError, match="sigma_min must be finite"):
        prediction.consistency(sigma_min=-1.0)
    with pytest.raises(ValueError, match="sigma_data must be a positive"):
        prediction.trigflow(0.0)


def test_ncsn_counts_the_levels_from_the_highest():
    told = prediction.ncsn(5, 0.01, 1.0)
    geometric = np.geomspace(1.0, 0.01, 5)
    c_skip, c_out, c_in, c_noise = told.coefficients(geometric)
    assert np.array_equal(c_noise, np.arange(5.0))
    assert np.array_equal(c_out, geometric)
    assert np.array_equal((c_skip, c_in), np.ones((2, 5)))
    beyond = told.coefficients(np.array([80.0, 1.05, 0.009, 0.0]))[3]
    assert np.array_equal(beyond, [0.0, 0.0, 4.0, 4.0])
    for wrong in ({"n": 1}, {"n": True}, {"sigma_min": 0.0}, {"sigma_min": 2.0, "sigma_max": 1.0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
            prediction.ncsn(**wrong)
