# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from pydiffcore.evaluate import frechet


def exact(mean, covariance, size=500, seed=0):
    """A set whose sample mean and covariance are exactly these."""
    z = np.random.default_rng(seed).standard_normal((size, len(mean)))
    z -= z.mean(0)
    z = z @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(z.T)))).T
    return mean + z @ np.linalg.cholesky(covariance).T


def covariance(d, seed):
    A = np.random.default_rng(seed).standard_normal((d, d))
    return A @ A.T + 0.1 * np.eye(d)


def test_one_dimension():
    a, b = exact([1.0], np.array([[4.0]])), exact([-2.0], np.array([[9.0]]), seed=1)
    assert frechet(a, b) == pytest.approx((1 + 2) ** 2 + (2 - 3) ** 2)


def test_against_the_matrix_square_root():
    C_a, C_b = covariance(6, 0), covariance(6, 1)
    a, b = exact(np.arange(6.0), C_a), exact(np.ones(6), C_b, size=300, seed=2)
    expected = np.square(np.arange(6.0) - 1).sum() + np.trace(C_a + C_b - 2 * sqrtm(C_a @ C_b).real)
    assert frechet(a, b) == pytest.approx(expected)
    assert frechet(b, a) == pytest.approx(expected)


def test_nothing_between_equal_sets():
    a = exact(np.zeros(4), covariance(4, 3))
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)


def test_features_that_never_vary():
    a, b = np.zeros((10, 3)), np.ones((12, 3))
    assert frechet(a, b) == pytest.approx(3)


def test_tensors_are_accepted():
    a, b = torch.randn(50, 3), torch.randn(60, 3)
    assert frechet(a, b) == pytest.approx(frechet(a.double().numpy(), b.double().numpy()))


@pytest.mark.parametrize(
    ("a", "text"),
    [
        (np.zeros(5), "a has shape"),
        (np.zeros((1, 3)), "a has shape"),
        (np.zeros((5, 2)), "a has 2 features and b 3"),
        (np.full((5, 3), np.nan), "a holds a value that is not finite"),
    ],
)
def test_bad_input_is_named(a, text):
    with pytest.raises(ValueError, match=text):
        frechet(a, np.eye(3))
