# SPDX-License-Identifier: Apache-2.0
"""What the losses of steps are least at: to other denoisers, to the data, with one's own noise."""

import numpy as np
import pytest
import torch
from gaussian_sample import (
    MEAN,
    SEEDS,
    SHAPE,
    STD,
    TABLE,
    X0,
    B,
    Z,
    check_denoiser,
    denoised,
    linear,
    minimise,
    posterior,
)

from pydiffcore import exact, prediction, process
from pydiffcore.train import weights
from pydiffcore.train.distil import consistency_terms, progressive_terms
from pydiffcore.train.dream import dream_terms
from pydiffcore.train.variational import chain_of, hybrid_terms, vlb_terms

M_Z, V_Z = float(Z.mean()), float(Z.var(correction=0))


def affine(kind, sigma, A, c):
    """The parameters (a, b) of F = a input + b for which D = A x + c."""
    c_skip, c_out, c_in, _ = (float(each) for each in kind.coefficients(np.array(sigma)))
    return torch.tensor([(A - c_skip) / (c_out * c_in), c / c_out], dtype=torch.float64)


def posterior_of_dream(sigma, power, A, c):
    """E[x0 | x'] = A' x' + c' at the inputs x' = x + rho (D − x0) that D = A x + c makes."""
    rho = (sigma / np.hypot(1, sigma)) ** power
    p, q = 1 + rho * A - rho, (1 + rho * A) * sigma  # x' = p x0 + q z + rho c
    slope = p * STD**2 / (p**2 * STD**2 + q**2 * V_Z)
    return slope, MEAN - slope * (p * MEAN + q * M_Z + rho * c)


@pytest.mark.parametrize("sigma", [0.3, 0.8, 4.0])
@pytest.mark.parametrize("power", [1.0, 3.0, 500.0])
@pytest.mark.parametrize("kind", [prediction.edm(), prediction.eps(process.vp())])
def test_dream(kind, sigma, power):
    """The posterior mean at the noise that the first call makes, which has no gradient."""
    first = affine(kind, sigma, 0.3, 0.2)

    def loss(point):
        def network(x, c_noise):
            return linear(point if torch.is_grad_enabled() else first)(x, c_noise)

        return dream_terms(
            network, X0, np.full(B, sigma), kind, seeds=SEEDS, power=power
        ).mean()  # fmt: skip

    found = minimise(loss, torch.zeros(2))
    expected = affine(kind, sigma, *posterior_of_dream(sigma, power, 0.3, 0.2))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    if power == 500 and sigma < 1:  # no noise of its own is left
        check_denoiser(found, kind, sigma)


@pytest.mark.parametrize("sigma", [0.05, 0.8, 12.0])
@pytest.mark.parametrize("huber", [None, 0.03])
def test_consistency_training(sigma, huber):
    """D = E[D'(x_next) | x], for any D': here D' = 0.7 x + 0.1."""
    kind, following = prediction.consistency(0.5, 0.01), 0.6 * sigma
    slow = linear(affine(kind, following, 0.7, 0.1))

    def loss(point):
        return consistency_terms(
            linear(point), slow, X0, np.full(B, sigma), np.full(B, following), kind, seeds=SEEDS,
            huber=huber,
        ).mean()  # fmt: skip

    x, D, left = posterior(sigma)
    expected = 0.7 * (x - (sigma - following) / sigma * (x - D)) + 0.1
    found = denoised(minimise(loss, torch.zeros(2)), kind, sigma, x)
    # A pseudo-Huber loss has it up to the error of 1024 elements, of x at 3 deviations of its own.
    error = 0.7 * 0.4 * np.sqrt(left / X0.numel() * (1 + 9)) * (1 + np.abs(x))
    assert np.all(np.abs(found - expected) < (1e-4 * (1 + np.abs(x)) if huber is None else error))


@pytest.mark.parametrize("last", [0.5, 0.0])
def test_progressive(last):
    """One Euler step of D goes where two of the teacher's go, at every x."""
    sigma, kind = 0.8, prediction.v(process.vp())
    law = exact.gaussian(np.full(SHAPE, MEAN), np.full(SHAPE, STD))
    levels = [np.full(B, share * sigma) for share in (1, 0.75, last)]

    def loss(point):
        return progressive_terms(
            linear(point), law, X0, *levels, kind, seeds=SEEDS, weight=weights.truncated_snr()
        ).mean()

    x = start = np.linspace(-3, 3, 7)[:, None]
    one = exact.gaussian(np.array([MEAN]), np.array([STD]))
    for level, following in ((sigma, 0.75 * sigma), (0.75 * sigma, last * sigma)):
        x = one(x, level) + following / level * (x - one(x, level))
    D = denoised(minimise(loss, torch.zeros(2)), kind, sigma, start)
    np.testing.assert_allclose(D + last * (start - D), x, atol=1e-5)


@pytest.mark.parametrize("terms", [hybrid_terms, vlb_terms])
def test_the_chain_s_last_step(terms):
    """To the pixels: D is the posterior mean, the variance the posterior's less a bin's own."""
    sigma, scale = float(TABLE.level(0)), 0.35  # all data lie inside the outermost bins
    kind, chain = prediction.eps(TABLE), chain_of(TABLE)
    x0 = scale * X0.view(B, 1, -1)

    def loss(point):
        return terms(linear(point, 2), x0, np.full(B, sigma), kind, TABLE, seeds=SEEDS).mean()

    point = minimise(loss, torch.zeros(3))
    slope = (scale * STD) ** 2 / ((scale * STD) ** 2 + sigma**2 * V_Z)
    x = np.linspace(-1, 1, 5)
    D = scale * MEAN + slope * (x - scale * MEAN - sigma * M_Z)
    np.testing.assert_allclose(denoised(point, kind, sigma, x), D, atol=2e-4)
    log_p = chain.log_small[0] + 0.5 * (float(point[2]) + 1) * (
        chain.log_large[0] - chain.log_small[0]
    )
    expected = slope * sigma**2 * V_Z - (2 / 255) ** 2 / 12
    assert np.exp(log_p) == pytest.approx(expected, rel=2e-3)
