# SPDX-License-Identifier: Apache-2.0
"""Weightings against the papers' formulas, which are of the error of what a network returns."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pydiffcore import prediction, process
from pydiffcore.train import laws, weights

SIGMA = np.geomspace(0.01, 100, 41)
SNR = SIGMA**-2
T = SIGMA / (1 + SIGMA)  # flow time
DATA = 0.5
TOTAL = SIGMA**2 + DATA**2
VP, VE = process.vp(), process.ve()
ON_F = [  # weight, prediction, what the source has for |F − target|²
    (weights.edm(DATA), prediction.edm(DATA), 1),
    (weights.unit_eps(), prediction.eps(VP), 1),
    (weights.unit_eps(), prediction.vp(), 1),
    (weights.unit_eps(), prediction.ve(), 1),
    (weights.unit_eps(), prediction.score(VE), SIGMA**2),
    (weights.uniform(), prediction.x0(VP), 1),
    (weights.snr(), prediction.edm(DATA), DATA**2 / TOTAL),  # k-diffusion's "snr"
    (weights.snr(), prediction.x0(VP), SNR),
    (weights.snr_plus_one(), prediction.v(VP), 1),
    (weights.snr_plus_one(), prediction.x0(VP), SNR + 1),
    (weights.snr_plus_one(1e4), prediction.x0(VP), np.minimum(1 + SIGMA**-2, 1e4)),
    (weights.truncated_snr(), prediction.x0(VP), np.maximum(SNR, 1)),
    (weights.anneal(2), prediction.score(VE), SIGMA**2),
    (weights.anneal(0), prediction.score(VE), 1),
    (weights.anneal(1.3), prediction.score(VE), SIGMA**1.3),
    (weights.likelihood(VP), prediction.score(VP), VP.diffusion(VP.time(SIGMA)) ** 2),
    (weights.likelihood(VE), prediction.score(VE), VE.diffusion(VE.time(SIGMA)) ** 2),
    (weights.min_snr(5), prediction.eps(VP), np.minimum(SNR, 5) / SNR),
    (weights.min_snr(5), prediction.x0(VP), np.minimum(SNR, 5)),
    (weights.min_snr(5), prediction.v(VP), np.minimum(SNR, 5) / (SNR + 1)),
    (weights.soft_min_snr(DATA), prediction.edm(DATA), (SIGMA * DATA) ** 2 / TOTAL**2),
    (weights.soft_min_snr(DATA), prediction.x0(VP), 4 * SNR / (SNR + 4)),
    (weights.p2(1, 1), prediction.eps(VP), 1 / (1 + SNR)),
    (weights.p2(2, 0.5), prediction.eps(VP), (2 + SNR) ** -0.5),
    (weights.p2(1, 0), prediction.eps(VP), 1),
    (weights.flow(), prediction.velocity(), 1),
    (weights.sigma_sqrt(), prediction.velocity(), T**-2),
    (weights.sigma_sqrt("x0"), prediction.velocity(), 1),
    (weights.cosmap(), prediction.velocity(), 2 / (math.pi - 2 * math.pi * T * (1 - T))),
]  # fmt: skip


@pytest.fixture
def peer():
    """diffusers' functions for training."""
    return pytest.importorskip("diffusers.training_utils", reason="diffusers is not installed")


@pytest.mark.parametrize(("weight", "kind", "expected"), ON_F, ids=lambda p: getattr(p, "name", ""))
def test_weight_on_the_output(weight, kind, expected):
    found = weights.on_output(weight, kind, SIGMA)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.broadcast_to(expected, SIGMA.shape), rtol=1e-12)
    assert weight(0.7) == pytest.approx(weight(np.array([0.7]))[0], rel=1e-15)


def test_every_weighting_is_tested():
    made = set(weights.__all__) - {"Weight", "on_output"}
    assert {weight.name.partition("(")[0] for weight, _, _ in ON_F} == made


def test_snr_of_diffusers(peer):
    """min-SNR as diffusers' examples have it: min(snr, γ)/snr for eps, over snr + 1 for v."""
    betas = process.linear_betas()
    scheduler = SimpleNamespace(alphas_cumprod=torch.from_numpy(np.cumprod(1 - betas)))
    index = torch.arange(0, 1000, 7)
    snr = peer.compute_snr(scheduler, index).double().numpy()
    table = process.discrete(betas)
    sigma = table.level(index.numpy())
    np.testing.assert_allclose(weights.snr()(sigma), snr, rtol=1e-5)
    for kind, over in [(prediction.eps(table), snr), (prediction.v(table), snr + 1)]:
        found = weights.on_output(weights.min_snr(5), kind, sigma)
        np.testing.assert_allclose(found, np.minimum(snr, 5) / over, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sigma_sqrt", "cosmap"])
def test_weightings_of_sd3(peer, kind):
    expected = peer.compute_loss_weighting_for_sd3(kind, torch.from_numpy(T)).double().numpy()
    weight = getattr(weights, kind)
    np.testing.assert_allclose(weight("x0")(SIGMA), expected, rtol=1e-6)
    found = weights.on_output(weight("velocity"), prediction.velocity(), SIGMA)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_likelihood_weighting_is_flat_under_its_own_law():
    """λ density_uniform(t)/density_likelihood is 1/sigma² up to a factor: one loss, two ways."""
    uniform, own = laws.uniform_t(VP, 1e-3), laws.likelihood(VP, 1e-3)
    sigma = uniform.quantile(np.linspace(0.01, 0.99, 50))
    ratio = weights.likelihood(VP)(sigma) * uniform.density(sigma) / own.density(sigma)
    np.testing.assert_allclose(ratio * sigma**2, ratio[0] * sigma[0] ** 2, rtol=1e-10)


def test_cosmap_weight_is_cosmap_times():
    t = np.linspace(0.01, 0.99, 50)
    sigma = t / (1 - t)
    density_of_t = laws.v_diffusion(1.0).density(sigma) / (t * (1 - t))
    found = weights.on_output(weights.cosmap(), prediction.velocity(), sigma)
    np.testing.assert_allclose(found, density_of_t, rtol=1e-12)


def test_names_are_equality():
    assert weights.p2(1, 1) == weights.p2(1.0, 1.0) != weights.p2(1, 2)


@pytest.mark.parametrize(
    ("made", "match"),
    [
        (lambda: weights.edm(0), "sigma_data is 0, expected a number above 0"),
        (lambda: weights.soft_min_snr(-1), "sigma_data is -1"),
        (lambda: weights.snr_plus_one(0), "limit is 0"),
        (lambda: weights.anneal(math.inf), "power is inf"),
        (lambda: weights.min_snr(0), "gamma is 0"),
        (lambda: weights.p2(0), "k is 0"),
        (lambda: weights.p2(1, -1), "gamma is -1"),
        (lambda: weights.cosmap("v"), "on is 'v', expected 'velocity' or 'x0'"),
        (lambda: weights.sigma_sqrt("eps"), "on is 'eps'"),
        (lambda: weights.flow()(0.0), "sigma is 0.0, expected positive"),
        (lambda: weights.flow()([1, math.nan]), "expected positive and finite"),
    ],
)
def test_what_is_wrong_is_named(made, match):
    with pytest.raises(ValueError, match=match):
        made()
