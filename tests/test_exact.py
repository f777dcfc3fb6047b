# SPDX-License-Identifier: Apache-2.0
"""Exact denoisers against quadrature, linear algebra and a black-box ODE solver."""

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from pydiffcore import exact
from pydiffcore.exact import frame

MIXTURE = exact.mixture([0.3, 0.5, 0.2], [-1.5, 0.4, 2.0], [0.3, 0.05, 0.6])
RNG = np.random.default_rng(20)
POINTS = RNG.normal(size=(12, 2, 3))
COVARIANCE = np.array([[2.0, 0.6, 0.1], [0.6, 0.5, -0.2], [0.1, -0.2, 1.0]])


def posterior_mean(density, x, sigma, ends):
    """E[x0 | x] by quadrature of x0 p(x0) N(x; x0, sigma^2), in 30 digits."""
    with mp.workdps(30):
        x, sigma = mp.mpf(x), mp.mpf(sigma)

        def weight(y):
            return density(y) * mp.exp(-((x - y) ** 2) / (2 * sigma**2))

        total = mp.quad(weight, ends)
        return float(mp.quad(lambda y: y * weight(y), ends) / total)


def normal_density(y, mean, std):
    return mp.exp(-((y - mean) ** 2) / (2 * mp.mpf(std) ** 2)) / mp.mpf(std)


@pytest.mark.parametrize("sigma", [1e-2, 0.3, 1.0, 20.0, 1e4])
def test_one_dimensional_denoisers_match_quadrature(sigma):
    data = exact.gaussian(0.4, 0.7)
    parts = list(zip([0.3, 0.5, 0.2], [-1.5, 0.4, 2.0], [0.3, 0.05, 0.6], strict=True))

    def mixed(y):
        return sum(mp.mpf(w) * normal_density(y, m, s) for w, m, s in parts)

    for x in (-2.0, -0.55, 0.38, 1.1):
        ends = sorted({-7.0, -1.5, 0.2, 0.4, 0.6, 2.0, 7.0, x} | {x + k * sigma for k in (-8, 8)})
        ends = [e for e in ends if -7.0 <= e <= 7.0]
        got = data(np.array([x]), sigma)[0]
        expected = posterior_mean(lambda y: normal_density(y, 0.4, 0.7), x, sigma, ends)
        assert got == pytest.approx(expected, rel=1e-10, abs=1e-10)
        got = MIXTURE(np.array([x]), sigma)[0]
        assert got == pytest.approx(posterior_mean(mixed, x, sigma, ends), rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("sigma", [0.0, 1e-4, 0.5, 80.0, 1e4])
def test_gaussian_with_covariance_matches_linear_algebra(sigma):
    mean = np.array([1.0, -2.0, 0.5])
    data = exact.gaussian(mean, covariance=COVARIANCE)
    x = RNG.normal(size=(6, 3)) * (1.0 + sigma)
    total = COVARIANCE + sigma**2 * np.eye(3)
    precise = np.linalg.solve(total, (x - mean).T).T
    np.testing.assert_allclose(data(x, sigma), mean + precise @ COVARIANCE, rtol=1e-10)
    np.testing.assert_allclose(data.score(x, sigma), -precise, rtol=1e-10)
    law = stats.multivariate_normal(mean, total)
    np.testing.assert_allclose(data.log_density(x, sigma), law.logpdf(x), rtol=1e-10)
    slack = 1e-14 * (1.0 + sigma**2)
    np.testing.assert_allclose(data.marginal(sigma).covariance, total, rtol=0.0, atol=slack)
    np.testing.assert_allclose(data.std**2, np.diag(COVARIANCE), rtol=1e-12)
    np.testing.assert_array_equal(data.mean, mean)


def solve_flow(denoise, x, sigma, sigma_next):
    """Integrate dx/dsigma = (x - D) / sigma with an eighth-order method."""

    def slope(level, flat):
        return (flat - denoise(flat.reshape(x.shape), level).ravel()) / level

    solved = integrate.solve_ivp(
        slope, (sigma, sigma_next), x.ravel(), method="DOP853", rtol=1e-12, atol=1e-12
    )
    return solved.y[:, -1].reshape(x.shape)


@pytest.mark.parametrize(("sigma", "sigma_next"), [(20.0, 0.01), (0.05, 3.0)])
def test_probability_flow_solutions_match_an_ode_solver(sigma, sigma_next):
    flat = exact.gaussian([1.0, -2.0, 0.5], covariance=COVARIANCE)
    x = RNG.normal(size=(4, 3)) * sigma
    expected = solve_flow(flat, x, sigma, sigma_next)
    np.testing.assert_allclose(flat.solution(x, sigma, sigma_next), expected, rtol=1e-8, atol=1e-9)
    x = np.array([-2.5, -0.3, 0.1, 1.7]) * max(1.0, sigma)
    expected = solve_flow(MIXTURE, x, sigma, sigma_next)
    got = MIXTURE.solution(x, sigma, sigma_next)
    np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-8)


def test_gaussian_solution_ends_on_the_data():
    data = exact.gaussian(np.full((2, 2), 0.5), 0.3)
    z = RNG.normal(size=(5, 2, 2))
    start = 0.5 + np.sqrt(0.3**2 + 80.0**2) * z
    np.testing.assert_allclose(data.solution(start, 80.0, 0.0), 0.5 + 0.3 * z, rtol=1e-12)
    back = data.solution(data.solution(start, 80.0, 0.002), 0.002, 80.0)
    np.testing.assert_allclose(back, start, rtol=1e-12)


def test_mixture_solution_keeps_far_quantiles():
    data = exact.mixture([1.0], [0.0], [0.5])
    x = 80.0 * np.array([-8.0, -3.0, 0.0, 3.0, 8.0])
    expected = exact.gaussian(0.0, 0.5).solution(x, 80.0, 0.0)
    np.testing.assert_allclose(data.solution(x, 80.0, 0.0), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("sigma", [1e-4, 0.1, 2.0, 1e4])
def test_mixture_density_score_and_cdf(sigma):
    means = np.array([[0.0, 1.0], [2.0, -1.0]])
    stds = np.array([[0.3, 0.5], [1.0, 0.2]])
    data = exact.mixture([1.0, 3.0], means, stds)
    x = RNG.normal(size=(5, 2)) * (1.0 + 0.3 * sigma)
    total = np.sqrt(stds**2 + sigma**2)
    parts = stats.norm.logpdf(x[:, None], means, total).sum(-1) + np.log([0.25, 0.75])
    np.testing.assert_allclose(
        data.log_density(x, sigma), np.logaddexp(parts[:, 0], parts[:, 1]), rtol=1e-11
    )
    h = 1e-5 * np.sqrt(1.0 + sigma**2)
    for k, step in enumerate(h * np.eye(2)):
        slope = (data.log_density(x + step, sigma) - data.log_density(x - step, sigma)) / (2 * h)
        # The difference of two rounded logarithms is known to about 1e-15 / h.
        np.testing.assert_allclose(data.score(x, sigma)[:, k], slope, rtol=1e-5, atol=1e-9 / h)
    grid = np.array([-3.0, 0.0, 0.41, 5.0]) * (1.0 + sigma)
    expected = sum(
        w * stats.norm.cdf(grid, m, np.hypot(s, sigma))
        for w, m, s in zip([0.3, 0.5, 0.2], [-1.5, 0.4, 2.0], [0.3, 0.05, 0.6], strict=True)
    )
    np.testing.assert_allclose(MIXTURE.cdf(grid, sigma), expected, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("sigma", [1e-4, 0.5, 30.0, 1e4])
@pytest.mark.parametrize(
    "data",
    [
        exact.gaussian(POINTS[0], np.abs(POINTS[1])),
        exact.dataset(POINTS),
        exact.mixture([0.2, 0.8], POINTS[:2], [0.3, 0.7]),
    ],
    ids=["gaussian", "dataset", "mixture"],
)
def test_tweedie_ties_score_and_denoiser(data, sigma):
    x = RNG.normal(size=(7, 2, 3)) * (1.0 + sigma)
    change = sigma**2 * data.score(x, sigma)
    np.testing.assert_allclose(x + change, data(x, sigma), rtol=1e-9, atol=1e-11 * (1.0 + sigma))


def test_dataset_matches_a_sum_in_high_precision():
    labels = np.arange(12) % 3
    data = exact.dataset(POINTS, labels)
    x = RNG.normal(size=(4, 2, 3))
    wanted = np.array([0, 2, 1, 0])
    with mp.workdps(60):
        for sigma in (1e-4, 0.02, 0.5, 3.0, 1e4):
            for chosen in (None, wanted):
                got = data(x, sigma, chosen)
                for b in range(4):
                    total, mean = mp.mpf(0), mp.matrix(6, 1)
                    for y, label in zip(POINTS, labels, strict=True):
                        if chosen is not None and label != chosen[b]:
                            continue
                        far = sum(
                            (mp.mpf(u) - mp.mpf(v)) ** 2
                            for u, v in zip(x[b].flat, y.flat, strict=True)
                        )
                        weight = mp.exp(-far / (2 * mp.mpf(sigma) ** 2))
                        total += weight
                        mean += weight * mp.matrix(y.ravel().tolist())
                    expected = [float(value / total) for value in mean]
                    np.testing.assert_allclose(got[b].ravel(), expected, rtol=1e-7, atol=1e-9)


def test_dataset_limits():
    data = exact.dataset(POINTS)
    x = RNG.normal(size=(5, 2, 3))
    near = np.argmin(((x[:, None] - POINTS) ** 2).sum((2, 3)), axis=1)
    np.testing.assert_allclose(data(x, 0.0), POINTS[near], rtol=1e-14)
    np.testing.assert_allclose(data(POINTS, 1e-4), POINTS, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(
        data(x, 1e8), np.broadcast_to(POINTS.mean(0), x.shape), rtol=1e-6, atol=1e-7
    )
    np.testing.assert_allclose(data.points, POINTS, rtol=1e-15, atol=1e-15)
    point = exact.dataset(POINTS[:1])
    np.testing.assert_allclose(point(x, 3.0), np.broadcast_to(POINTS[0], x.shape), rtol=1e-15)


def test_chunks_do_not_change_the_result(monkeypatch):
    x, sigma = RNG.normal(size=(9, 2, 3)), np.linspace(0.1, 3.0, 9)
    labels = np.arange(9) % 3
    data = exact.dataset(POINTS, np.arange(12) % 3)
    mixed = exact.mixture([0.2, 0.8], POINTS[:2], [0.3, 0.7])
    whole = data(x, sigma, labels), mixed(x, sigma), mixed.log_density(x, sigma)
    monkeypatch.setattr(frame, "CHUNK", 24)
    parts = data(x, sigma, labels), mixed(x, sigma), mixed.log_density(x, sigma)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


DENOISERS = {
    "gaussian": (exact.gaussian(POINTS[0], 0.7), (2, 3)),
    "covariance": (exact.gaussian(np.zeros(3), covariance=COVARIANCE), (3,)),
    "mixture": (exact.mixture([0.2, 0.8], POINTS[:2], [0.3, 0.0]), (2, 3)),
    "dataset": (exact.dataset(POINTS), (2, 3)),
    "scalar": (MIXTURE, ()),
}


@pytest.mark.parametrize("name", DENOISERS)
@given(exponent=st.floats(-4.0, 4.0), seed=st.integers(0, 2**31))
def test_any_level_is_finite_and_torch_agrees(name, exponent, seed):
    data, shape = DENOISERS[name]
    sigma = 10.0**exponent
    x = np.random.default_rng(seed).normal(size=(3, *shape)) * (1.0 + sigma)
    expected = data(x, sigma)
    assert np.all(np.isfinite(expected))
    assert np.all(np.isfinite(data.score(x, sigma)))
    got = data(torch.from_numpy(x), torch.full((3,), sigma, dtype=torch.float64))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-9, atol=1e-12)
    score = data.score(torch.from_numpy(x), sigma)
    np.testing.assert_allclose(score.numpy(), data.score(x, sigma), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", DENOISERS)
def test_dtypes_are_kept(name):
    data, shape = DENOISERS[name]
    x = RNG.normal(size=(3, *shape))
    for dtype in (np.float32, np.float64):
        assert data(x.astype(dtype), 0.5).dtype == dtype
        assert data.score(x.astype(dtype), 0.5).dtype == dtype
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        result = data(torch.from_numpy(x).to(dtype), 0.5)
        assert result.dtype == dtype
        assert result.shape == (3, *shape)
    coarse = data(x.astype(np.float32), np.float32(0.5))
    np.testing.assert_allclose(coarse, data(x.astype(np.float32).astype(float), 0.5), rtol=1e-6)


def test_levels_of_each_sample_and_empty_batches():
    data, sigma = exact.dataset(POINTS), np.array([0.1, 2.0, 0.0])
    x = RNG.normal(size=(3, 2, 3))
    together = data(x, sigma)
    for b in range(3):
        np.testing.assert_allclose(together[b], data(x[b : b + 1], sigma[b])[0], rtol=1e-12)
    for made, shape in DENOISERS.values():
        assert made(np.zeros((0, *shape)), 1.0).shape == (0, *shape)


def test_gradients_flow_through_torch():
    """For one Gaussian the Jacobian of D is v / (v + sigma^2)."""
    data = exact.mixture([1.0], [[0.5, -0.5]], [0.8])
    x = torch.tensor([[1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    data(x, 0.6).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 0.64 / (0.64 + 0.36), rtol=1e-12)


@pytest.mark.parametrize(
    "data",
    [
        exact.gaussian([1.0, -2.0, 0.5], covariance=COVARIANCE),
        exact.gaussian(np.ones(3), 0.2),
        exact.mixture([0.2, 0.8], [[0.0, 1.0, 2.0], [1.0, -1.0, 0.5]], [0.3, 0.7]),
    ],
    ids=["covariance", "diagonal", "mixture"],
)
def test_samples_have_the_stated_moments(data):
    n = 40_000
    drawn = data.marginal(0.5).sample(n, np.random.default_rng(5))
    law = data.marginal(0.5)
    assert drawn.shape == (n, 3)
    np.testing.assert_allclose(law.covariance, data.covariance + 0.25 * np.eye(3), rtol=1e-12)
    spread = np.sqrt(np.diag(law.covariance))
    # Five standard errors; a variance of 1 off by 4 % fails.
    assert np.all(np.abs(drawn.mean(0) - law.mean) < 5.0 * spread / np.sqrt(n))
    error = np.abs(np.cov(drawn.T) - law.covariance)
    assert np.all(error < 5.0 * np.sqrt(2.0 / n) * np.outer(spread, spread))


def test_one_dimensional_samples_follow_the_cdf():
    drawn = MIXTURE.sample(20_000, np.random.default_rng(3))
    result = stats.kstest(drawn, MIXTURE.cdf)
    assert result.pvalue > 1e-4
    assert stats.kstest(drawn + 0.05, MIXTURE.cdf).pvalue < 1e-10


X = np.zeros((2, 2, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: exact.gaussian([0.0]), TypeError, "exactly one of std and covariance"),
        (lambda: exact.gaussian([0.0], 1.0, covariance=[[1.0]]), TypeError, "exactly one"),
        (lambda: exact.gaussian([0.0, np.nan], 1.0), ValueError, "mean must be finite"),
        (lambda: exact.gaussian([0.0], -1.0), ValueError, "std must not be negative, got -1.0"),
        (lambda: exact.gaussian([0.0, 1.0], [1.0]), ValueError, "std must be a number or"),
        (lambda: exact.gaussian([0.0], covariance=1.0), ValueError, r"shape \(1, 1\), got \(\)"),
        (lambda: exact.gaussian([0, 0], covariance=[[1, 2], [0, 1]]), ValueError, "symmetric"),
        (lambda: exact.gaussian([0, 0], covariance=[[1, 2], [2, 1]]), ValueError, "semi-definite"),
        (lambda: exact.mixture([1.0, 0.0], [0, 1], 1.0), ValueError, "weights must be positive"),
        (lambda: exact.mixture([1.0], [0, 1], 1.0), ValueError, r"means must have shape \[1, \*\]"),
        (lambda: exact.mixture([1, 1], [0, 1], [1, 1, 1]), ValueError, "stds must be a number"),
        (lambda: exact.dataset([]), ValueError, "points must have shape"),
        (lambda: exact.dataset([0.0, 1.0], [0]), ValueError, "labels must be whole numbers"),
        (lambda: exact.dataset([0.0, 1.0], [0.5, 1]), ValueError, "labels must be whole numbers"),
        (lambda: exact.dataset(POINTS)(X, 1.0, [0, 1]), ValueError, "the data set has none"),
        (
            lambda: exact.dataset(POINTS, np.arange(12))(X, 1.0, [0, 12]),
            ValueError,
            r"classes of the data set, got \[12\]",
        ),
        (
            lambda: exact.dataset(POINTS, np.arange(12))(X, 1.0, [0, 1, 2]),
            ValueError,
            r"labels must be one or \[2\]",
        ),
        (lambda: exact.dataset(POINTS).score(X, 0.0), ValueError, "sigma must be positive"),
        (lambda: exact.dataset(POINTS)(X[0], 1.0), ValueError, r"x must have shape \[B, 2, 3\]"),
        (lambda: exact.dataset(POINTS)(X.astype(int), 1.0), TypeError, "floating-point dtype"),
        (lambda: exact.dataset(POINTS)([1.0], 1.0), TypeError, "NumPy array or a torch tensor"),
        (lambda: exact.dataset(POINTS)(X, np.nan), ValueError, "sigma must be finite"),
        (lambda: exact.dataset(POINTS)(X, -1.0), ValueError, "not negative, got -1.0"),
        (lambda: exact.dataset(POINTS)(X, [1.0, 1.0, 1.0]), ValueError, r"have shape \[2\]"),
        (
            lambda: exact.gaussian([0.0], 0.0).solution(np.ones((1, 1)), 0.0, 1.0),
            ValueError,
            "sigma must be positive where the data have no variance",
        ),
        (lambda: DENOISERS["mixture"][0].cdf(0.0), ValueError, "must be one-dimensional"),
        (lambda: MIXTURE.marginal(-1.0), ValueError, "sigma must not be negative"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_labels_of_a_set_without_labels_are_refused_on_tensors_too():
    data = exact.dataset([[0.0], [1.0]])
    with pytest.raises(ValueError, match="labels were given"):
        data(torch.zeros(2, 1), 1.0, torch.tensor([0, 1]))
