# SPDX-License-Identifier: Apache-2.0
"""What each loss is least at: on Gaussian data the minimiser among linear denoisers is known."""

import numpy as np
import pytest
import torch
from gaussian_sample import SEEDS, STD, TABLE, X0, B, check_denoiser, linear, minimise, posterior

from pydiffcore import prediction, process
from pydiffcore.ops.noise import TRAINING, normal
from pydiffcore.train import weights
from pydiffcore.train.loss import denoising_loss, denoising_terms
from pydiffcore.train.uncertainty import uncertainty_terms, variance_terms
from pydiffcore.train.variational import chain_of, hybrid_terms, vlb_terms

VP = process.vp()
PREDICTIONS = [
    prediction.edm(0.5), prediction.eps(VP), prediction.x0(VP), prediction.v(VP),
    prediction.score(VP), prediction.velocity(), prediction.ve(), prediction.vp(),
    prediction.trigflow(0.7), prediction.eps(process.sub_vp()),
]  # fmt: skip


@pytest.mark.parametrize("kind", PREDICTIONS, ids=lambda p: p.name)
@pytest.mark.parametrize("sigma", [0.05, 0.8, 12.0])
def test_denoising(kind, sigma):
    """With and without a weight: at one level no weight moves the minimiser."""
    for weight in (None, weights.min_snr(5)):

        def loss(point, weight=weight):
            return denoising_loss(
                linear(point), X0, np.full(B, sigma), kind, seeds=SEEDS, weight=weight
            )

        check_denoiser(minimise(loss, torch.zeros(2)), kind, sigma)


ALL = [
    weights.uniform(), weights.edm(), weights.unit_eps(), weights.snr(), weights.snr_plus_one(),
    weights.truncated_snr(), weights.anneal(2), weights.likelihood(VP), weights.min_snr(),
    weights.soft_min_snr(), weights.p2(), weights.flow(), weights.sigma_sqrt(), weights.cosmap(),
]  # fmt: skip


def test_no_weight_is_left_out():
    names = set(weights.__all__) - {"Weight", "on_output"}
    assert {weight.name.partition("(")[0] for weight in ALL} == names


@pytest.mark.parametrize("weight", ALL, ids=lambda w: w.name)
def test_weight_between_two_levels(weight):
    """One constant D for two levels: the mean of x0 of each, weighed with lambda."""
    sigma = np.repeat([0.3, 4.0], B // 2)
    halves = X0.double().view(2, -1).mean(1)
    kind = prediction.denoised()

    def loss(point):
        return denoising_loss(
            lambda x, c: point[0] + 0 * x.double(), X0, sigma, kind, seeds=SEEDS, weight=weight
        )

    share = torch.from_numpy(weight(np.array([0.3, 4.0])))
    expected = float((share * halves).sum() / share.sum())
    assert minimise(loss, torch.zeros(1)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("sigma", [0.05, 0.8, 12.0])
def test_uncertainty(sigma):
    """D is the posterior mean and u the logarithm of the weighted loss that is left."""
    kind, weight = prediction.edm(), weights.soft_min_snr()

    def loss(point):
        return uncertainty_terms(
            linear(point), X0, np.full(B, sigma), kind, lambda c: point[2].expand(c.shape),
            seeds=SEEDS, weight=weight,
        ).mean()  # fmt: skip

    point = minimise(loss, torch.zeros(3))
    check_denoiser(point, kind, sigma)
    left = float(weight(sigma)) * posterior(sigma)[2]
    assert float(point[2]) == pytest.approx(np.log(left), abs=1e-4)


@pytest.mark.parametrize("sigma", [0.05, 0.8, 12.0])
def test_variance_of_each_element(sigma):
    """c_out² e^v is the posterior variance."""
    kind = prediction.v(VP)

    def loss(point):
        return variance_terms(
            linear(point, 2), X0[:, :1], np.full(B, sigma), kind, seeds=SEEDS
        ).mean()

    x0 = X0[:, :1]
    assert loss(torch.zeros(3)).shape == ()
    z = normal(SEEDS, x0.shape[1:], purpose=TRAINING).double()
    c_skip, c_out, c_in, _ = (float(c) for c in kind.coefficients(np.array(sigma)))
    x = (x0.double() + sigma * z).flatten().numpy()
    slope, offset = np.polyfit(x, x0.double().flatten().numpy(), 1)
    left = np.mean((slope * x + offset - x0.double().flatten().numpy()) ** 2)
    point = minimise(loss, torch.zeros(3))
    assert c_skip + c_out * float(point[0]) * c_in == pytest.approx(slope, abs=1e-4)
    assert c_out**2 * float(point[2].exp()) == pytest.approx(left, rel=1e-4)
    exactly = (STD * sigma) ** 2 / (STD**2 + sigma**2)
    assert left == pytest.approx(exactly, rel=0.25)  # 512 elements: 4 deviations


@pytest.mark.parametrize("index", [1, 20, 59])
@pytest.mark.parametrize("terms", [hybrid_terms, vlb_terms])
def test_learned_variance_of_the_chain(terms, index):
    """The step has the variance small + gain² Var[x0 | x], for both losses, and the mean of D."""
    sigma = float(TABLE.level(index))
    kind, chain = prediction.eps(TABLE), chain_of(TABLE)
    x0 = X0.view(B, 1, -1)  # one channel, so that the noise keeps its order

    def loss(point):
        return terms(linear(point, 2), x0, np.full(B, sigma), kind, TABLE, seeds=SEEDS).mean()

    point = minimise(loss, torch.zeros(3))
    check_denoiser(point, kind, sigma, 5e-4)
    small, large = chain.log_small[index], chain.log_large[index]
    found = small + 0.5 * (float(point[2]) + 1) * (large - small)
    expected = np.exp(small) + chain.gain[index] ** 2 * posterior(sigma)[2]
    assert found == pytest.approx(np.log(expected), abs=1e-4)


def test_the_bound_trains_no_mean_in_the_hybrid_loss():
    """The gradient of F is that of L_simple alone, to the bit."""
    sigma, kind = np.full(B, TABLE.level(20)), prediction.eps(TABLE)
    grads = []
    for share in (0.0, 1.0):
        point = torch.zeros(3, requires_grad=True)
        loss = hybrid_terms(
            linear(point, 2), X0.view(B, 1, -1), sigma, kind, TABLE, seeds=SEEDS, share=share
        ).mean()
        grads.append(torch.autograd.grad(loss, point)[0])
    assert torch.equal(grads[0][:2], grads[1][:2])
    assert grads[0][2] == 0 != grads[1][2]


@pytest.mark.parametrize("option", [{"huber": 0.1}, {"huber": 30.0}, {"scales": 3}])
def test_other_distances(option):
    """Symmetric about the posterior mean, so least there too, up to the error of 1024 elements."""
    sigma, kind = 0.8, prediction.edm()

    def loss(point):
        return denoising_terms(
            linear(point), X0, np.full(B, sigma), kind, seeds=SEEDS, **option
        ).mean()

    # At 2.7 standard deviations of x, 2 of D's own: sqrt(Var[x0 | x] (1 + 2.7²)/1024) each.
    check_denoiser(minimise(loss, torch.zeros(2)), kind, sigma, 0.1)
