# SPDX-License-Identifier: Apache-2.0
"""Losses per sample against their formulas and against the libraries that they come from."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from k_diffusion_pieces import pieces

from pydiffcore import prediction, process
from pydiffcore.ops.corruption import corrupt
from pydiffcore.ops.noise import TRAINING, normal
from pydiffcore.train import weights
from pydiffcore.train.bands import Bands
from pydiffcore.train.dream import dream_terms
from pydiffcore.train.frequencies import spectrum
from pydiffcore.train.loss import denoising_loss, denoising_terms
from pydiffcore.train.uncertainty import uncertainty_terms, variance_terms

SIGMA, SEEDS = np.geomspace(0.05, 20, 6), range(6)
X0 = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(2)) * 2 - 1
EDM = prediction.edm(0.5)


@pytest.fixture
def peer():
    """diffusers' functions for training."""
    return pytest.importorskip("diffusers.training_utils", reason="diffusers is not installed")


def network(x, c_noise, shift=0.0):
    return torch.tanh(x) + shift + 0.1 * c_noise.view(-1, *(1,) * (x.ndim - 1))


def errors(kind=EDM):
    noisy, target, c_noise = corrupt(X0, SIGMA, kind, seeds=SEEDS)
    return (network(noisy, c_noise) - target).double()


@pytest.mark.parametrize("weight", [None, weights.p2()])
def test_the_mean_of_terms_is_the_loss(weight):
    given = {"seeds": SEEDS, "weight": weight, "condition": {"shift": 0.2}}
    terms = denoising_terms(network, X0, SIGMA, EDM, **given)
    loss = denoising_loss(network, X0, SIGMA, EDM, **given)
    assert terms.shape == (6,)
    torch.testing.assert_close(terms.mean(), loss)


@pytest.mark.parametrize("weight", [None, weights.min_snr()])
def test_loss_is_that_of_plain_torch(weight):
    """Forward and gradient of the formula as it is written."""
    results = []
    for ours in (True, False):
        scale = torch.ones((), requires_grad=True)

        def scaled(x, c, scale=scale):
            return scale * network(x, c)

        if ours:
            loss = denoising_loss(scaled, X0, SIGMA, EDM, seeds=SEEDS, weight=weight)
        else:
            noisy, target, c_noise = corrupt(X0, SIGMA, EDM, seeds=SEEDS)
            error = (scaled(noisy, c_noise) - target).square()
            if weight is None:
                loss = error.mean()
            else:
                factor = torch.from_numpy(weight(SIGMA) * EDM.coefficients(SIGMA)[1] ** 2)
                loss = (error.flatten(1).mean(1) * factor.to(error)).mean()
        loss.backward()
        results.append((loss.detach(), scale.grad))
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("c", [1e-3, 0.3, 1e3])
def test_pseudo_huber(c):
    """Song & Dhariwal's sqrt(|e|² + C²) − C of a sample with C = c sqrt(n), times 2 c/sqrt(n)."""
    terms = denoising_terms(network, X0, SIGMA, EDM, seeds=SEEDS, huber=c)
    square = errors().square().flatten(1).sum(1)
    n = X0[0].numel()
    big = c * n**0.5
    expected = (torch.sqrt(square + big**2) - big) * 2 * c / n**0.5
    torch.testing.assert_close(terms.double(), expected, rtol=1e-5, atol=1e-9)
    if c == 1e3:
        torch.testing.assert_close(terms.double(), square / n, rtol=1e-4, atol=0)


def test_uncertainty_against_edm2_written_out():
    """(weight/e^u)(D − y)² + u with EDM's weight, in D rather than F."""

    def u(c_noise):
        return 0.3 * c_noise - 0.1

    terms = uncertainty_terms(network, X0, SIGMA, EDM, u, seeds=SEEDS, weight=weights.edm(0.5))
    same = uncertainty_terms(network, X0, SIGMA, EDM, u, seeds=SEEDS)
    c_out, c_noise = (torch.from_numpy(EDM.coefficients(SIGMA)[k]) for k in (1, 3))
    square = (c_out[:, None, None, None] * errors()).square().flatten(1).mean(1)
    weight = torch.from_numpy((SIGMA**2 + 0.25) / (SIGMA * 0.5) ** 2)
    expected = weight / u(c_noise).exp() * square + u(c_noise)
    torch.testing.assert_close(terms.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(same, terms, rtol=1e-5, atol=1e-6)


def test_uncertainty_trains_both():
    head, scale = torch.nn.Linear(1, 1), torch.ones((), requires_grad=True)
    uncertainty_terms(
        lambda x, c: scale * network(x, c), X0, SIGMA, EDM, lambda c: head(c[:, None]), seeds=SEEDS
    ).mean().backward()
    assert head.weight.grad.abs() > 0
    assert scale.grad.abs() > 0
    with pytest.raises(ValueError, match=r"log_variance returned shape \(2,\), expected \(6,\)"):
        uncertainty_terms(network, X0, SIGMA, EDM, lambda c: c[:2], seeds=SEEDS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_variance_terms(dtype):
    def with_variance(x, c_noise):
        return torch.cat([network(x, c_noise), 0.5 * torch.cos(x)], dim=1).to(dtype)

    terms = variance_terms(with_variance, X0, SIGMA, EDM, seeds=SEEDS)
    v = 0.5 * torch.cos(corrupt(X0, SIGMA, EDM, seeds=SEEDS)[0]).double()
    expected = ((errors().square() / v.exp() + v) / 2).flatten(1).mean(1)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(terms.double(), expected, rtol=tolerance, atol=tolerance)
    assert terms.dtype == torch.float32


def test_frequencies_keep_the_square():
    x = torch.randn(2, 3, 5, 8, dtype=torch.float64)
    assert float(spectrum(x, 1).square().sum()) == pytest.approx(float(x.square().sum()))
    flat = spectrum(torch.ones(1, 1, 4, 4), 4)
    assert float(flat[0, 0, 0, 0]) == pytest.approx(4 * np.sqrt(3))  # −log2(1/8) = 3
    assert float(flat.abs().sum()) == pytest.approx(4 * np.sqrt(3), abs=1e-5)


@pytest.mark.parametrize("shape", [(6, 3, 8, 8), (6, 3, 4, 6), (6, 1, 4, 4, 4)])
@pytest.mark.parametrize("scales", [2, 3])
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")
def test_frequencies_of_k_diffusion(shape, scales):
    """One axis is left out: dctorch's dct transforms the channels there."""
    functional = pytest.importorskip("dctorch.functional")

    def append(x, ndim):
        return x[(..., *[None] * (ndim - x.ndim))]

    layers = pieces(
        "layers.py", "dct", "freq_weight", "Denoiser",
        df=functional, utils=SimpleNamespace(append_dims=append), sampling=None,
    )  # fmt: skip
    x0 = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    theirs = layers.Denoiser(lambda x, sigma: network(x, 0.25 * sigma.log()), 0.5, "karras", scales)
    noise = normal(SEEDS, shape[1:], purpose=TRAINING)
    expected = theirs.loss(x0, noise, torch.from_numpy(SIGMA).float())
    terms = denoising_terms(network, x0, SIGMA, EDM, seeds=SEEDS, scales=scales)
    torch.testing.assert_close(terms, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("power", [1.0, 10.0])
def test_dream_of_diffusers(peer, power):
    table = process.discrete(process.linear_betas())
    index = np.array([3, 100, 300, 500, 700, 999])
    sigma, kind = table.level(index), prediction.eps(table)
    scheduler = SimpleNamespace(
        alphas_cumprod=torch.from_numpy(np.cumprod(1 - process.linear_betas())).float(),
        config=SimpleNamespace(prediction_type="epsilon"),
    )
    noise = normal(SEEDS, X0.shape[1:], purpose=TRAINING)
    noisy = corrupt(X0, sigma, kind, seeds=SEEDS)[0]

    def unet(x, t, states):
        return SimpleNamespace(sample=network(x, t / 1000))

    t = torch.from_numpy(index)
    x, target = peer.compute_dream_and_update_latents(
        unet, scheduler, t, noise, noisy, noise.clone(), None, power
    )
    expected = (network(x, t / 1000) - target).square().flatten(1).mean(1)
    terms = dream_terms(
        lambda x, c: network(x, c / 1000), X0, sigma, kind, seeds=SEEDS, power=power,
        weight=weights.unit_eps(),
    )  # fmt: skip
    torch.testing.assert_close(terms, expected, rtol=1e-4, atol=1e-6)


def test_dream_is_the_same_for_every_prediction():
    """D = x/(1 + sigma²) through eps and v: the same rectified loss of D."""
    found = []
    for kind in (prediction.eps(process.vp()), prediction.v(process.vp()), EDM):
        c_skip, c_out, c_in, _ = (
            torch.from_numpy(c)[:, None, None, None] for c in kind.coefficients(SIGMA)
        )
        level = torch.from_numpy(SIGMA)[:, None, None, None]

        def shrunk(x, c_noise, c=(c_skip, c_out, c_in), level=level):
            x = x.double() / c[2]
            return (x / (1 + level**2) - c[0] * x) / c[1]

        found.append(dream_terms(shrunk, X0, SIGMA, kind, seeds=SEEDS, weight=weights.uniform()))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found[2], found[0], rtol=1e-4, atol=1e-6)


def test_bands():
    bands = Bands((0.1, 1.0))
    terms = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    sums, counts = bands.sums([0.05, 0.1, 0.5, 1.0, 70.0], terms)
    assert sums.tolist() == [1, 5, 9]
    assert counts.tolist() == [1, 2, 2]
    assert bands.names == ("sigma < 0.1", "0.1 <= sigma < 1", "1 <= sigma")
    assert Bands(()).sums([3.0], np.array([2.0]))[0].tolist() == [2]
    assert len(Bands().names) == len(Bands().sums([], [])[0]) == 6


@pytest.mark.parametrize(
    ("made", "match"),
    [
        (lambda: Bands((1.0, 1.0)), r"edges is \(1.0, 1.0\), expected rising"),
        (lambda: Bands((0.0,)), "edges is 0.0"),
        (lambda: Bands().sums([1.0], [1.0, 2.0]), r"terms has shape \(2,\), expected \(1,\)"),
        (lambda: spectrum(torch.zeros(2, 3), 2), r"x has shape \(2, 3\)"),
        (lambda: spectrum(torch.zeros(2, 3, 4), 0), "scales is 0"),
        (
            lambda: denoising_terms(network, X0, SIGMA, EDM, seeds=SEEDS, huber=0),
            "huber is 0, expected a number above 0",
        ),
        (
            lambda: dream_terms(network, X0, SIGMA, EDM, seeds=SEEDS, power=float("nan")),
            "power is nan",
        ),
    ],
)
def test_what_is_wrong_is_named(made, match):
    with pytest.raises(ValueError, match=match):
        made()
