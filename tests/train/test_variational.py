# SPDX-License-Identifier: Apache-2.0
"""The bound of a chain: each step against Gaussians written out, the sum against the exact one."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from pydiffcore import prediction, process
from pydiffcore.ops.corruption import corrupt
from pydiffcore.train.variational import chain_of, hybrid_terms, vlb_terms

BETAS = process.linear_betas(40, 2e-3, 0.15)
TABLE = process.discrete(BETAS)
CHAIN = chain_of(TABLE)
ABAR = np.cumprod(1 - BETAS)
BEFORE = np.append(1.0, ABAR[:-1])
SMALL = BETAS * (1 - BEFORE) / (1 - ABAR)
N = len(BETAS)


def normal(mean, variance):
    return torch.distributions.Normal(mean, variance**0.5)


def test_divergence_of_each_step_against_ddpm_s_own_posterior():
    """Ho et al., eqs. 6 and 7, on tensors in the scale of x_t, by torch.distributions."""
    generator = torch.Generator().manual_seed(0)
    x0, D, x, v = torch.randn(4, N - 1, 6, dtype=torch.float64, generator=generator)
    index = np.arange(1, N)
    abar, before, beta, small = (
        torch.from_numpy(a[1:])[:, None] for a in (ABAR, BEFORE, BETAS, SMALL)
    )
    of_x0 = before.sqrt() * beta / (1 - abar)
    of_x = (1 - beta).sqrt() * (1 - before) / (1 - abar)
    f = (v + 1) / 2
    learned = (f * beta.log() + (1 - f) * small.log()).exp()
    expected = torch.distributions.kl_divergence(
        normal(of_x0 * x0 + of_x * x, small), normal(of_x0 * D + of_x * x, learned)
    )
    found = CHAIN.bits((D - x0).square(), v, index) * math.log(2)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_the_sum_is_the_exact_divergence_of_gaussians():
    """Data N(0, s²) and the exact D and variance: p's joint law differs from q's in its start only.

    So the sum of all parts is the entropy of the data plus KL(q(x_N) ‖ N(0, 1)).
    """
    s = 0.4
    left = (s * CHAIN.levels) ** 2 / (s**2 + CHAIN.levels**2)  # Var[x0 | x] at each level
    variance = SMALL + CHAIN.gain**2 * left
    v = 2 * np.log(variance[1:] / SMALL[1:]) / np.log(BETAS[1:] / SMALL[1:]) - 1
    as_columns = (torch.from_numpy(a)[:, None] for a in (left[1:], v))
    steps = CHAIN.bits(*as_columns, np.arange(1, N)).sum().item() * math.log(2)
    first = 0.5 * math.log(2 * math.pi * math.e * left[0])  # E −ln p(x0 | x_1), exact Gaussian
    end, signal = ABAR[-1] * s**2 + 1 - ABAR[-1], ABAR[-1] * s**2
    last = 0.5 * (signal + 1 - ABAR[-1] - 1 - math.log(1 - ABAR[-1]))  # E KL(q(x_N | x0) ‖ N)
    entropy = 0.5 * math.log(2 * math.pi * math.e * s**2)
    exact = entropy + 0.5 * (end - 1 - math.log(end))
    assert first + steps + last == pytest.approx(exact, abs=1e-12)
    worse = CHAIN.bits(torch.from_numpy(left[1:, None]), torch.zeros(N - 1, 1), np.arange(1, N))
    assert worse.sum().item() * math.log(2) > steps + 1e-3


def test_pixels_have_the_mass_of_their_bins():
    """Against differences of scipy's cdf; the 256 values of a pixel sum to 1."""
    values = torch.arange(256, dtype=torch.float64) / 127.5 - 1
    for D, v in [(-0.97, 0.3), (0.2, -1.0), (0.9999, 1.0), (0.3, 12.0)]:
        log_variance = CHAIN.log_small[0] + 0.5 * (v + 1) * (
            CHAIN.log_large[0] - CHAIN.log_small[0]
        )
        std = math.exp(0.5 * log_variance)
        edges = np.concatenate([[-np.inf], values[:-1].numpy() + 1 / 255, [np.inf]])
        mass = np.diff(stats.norm.cdf(edges, D, std))
        bits = CHAIN.pixel_bits(values, torch.full_like(values, D), torch.full_like(values, v))
        found = 2.0 ** -bits.numpy()
        np.testing.assert_allclose(found[mass > 1e-11], mass[mass > 1e-11], rtol=1e-6, atol=1e-15)
        assert found.sum() == pytest.approx(1, abs=1e-9)


def test_upper_and_lower_side_are_mirrored():
    """Float32 far on either side of D: no cancellation on the upper one."""
    x0 = torch.tensor([-0.2, 0.2])
    v = torch.full((2,), -1.0)
    D = torch.zeros(2, requires_grad=True)
    bits = CHAIN.pixel_bits(x0, D, v)
    assert bits[0] == bits[1] > 10
    bits.sum().backward()
    assert D.grad[0] == -D.grad[1] > 10


def network(x, c_noise):
    F = 0.5 * x + 0.1
    return torch.cat([F, torch.sin(3 * x)], dim=1)


def test_terms_are_n_times_a_step_s_mean_bits():
    images = torch.randint(256, (3, 2, 4, 4), dtype=torch.uint8)
    index, kind = np.array([0, 5, 39]), prediction.eps(TABLE)
    sigma = TABLE.level(index)
    terms = vlb_terms(network, images, sigma, kind, TABLE, seeds=range(3))
    noisy, _, c_noise = corrupt(images, sigma, kind, seeds=range(3))
    F, v = network(noisy, c_noise).double().chunk(2, dim=1)
    c_skip, c_out, c_in, _ = (
        torch.from_numpy(c)[:, None, None, None] for c in kind.coefficients(sigma)
    )
    D, x0 = c_skip * noisy.double() / c_in + c_out * F, images.double() / 127.5 - 1
    expected = CHAIN.bits((D - x0).square(), v, index).flatten(1).mean(1)
    expected[0] = CHAIN.pixel_bits(x0[0], D[0], v[0]).mean()
    torch.testing.assert_close(terms.double(), N * expected, rtol=2e-4, atol=1e-3)
    floats = (images.float() / 127.5 - 1).contiguous()
    same = vlb_terms(network, floats, sigma, kind, TABLE, seeds=range(3))
    torch.testing.assert_close(same, terms, rtol=1e-4, atol=1e-3)
    simple = (F - (F - (D - x0) / c_out)).square().flatten(1).mean(1)
    hybrid = hybrid_terms(network, images, sigma, kind, TABLE, seeds=range(3), share=0.01)
    torch.testing.assert_close(hybrid.double(), simple + 0.01 * N * expected, rtol=2e-4, atol=1e-3)


def test_prediction_does_not_matter_to_the_bound():
    """The same D through another prediction has the same bound."""
    images, index = torch.randint(256, (4, 1, 6, 6), dtype=torch.uint8), np.array([0, 1, 9, 39])
    sigma = TABLE.level(index)
    kinds = [prediction.eps(TABLE), prediction.v(TABLE), prediction.x0(TABLE)]
    results = []
    for kind in kinds:
        c_skip, c_out, c_in, _ = kind.coefficients(sigma)
        a, b = (torch.from_numpy(c)[:, None, None, None] for c in ((1 - c_skip) / c_in, c_out))

        def shrunk(x, c_noise, a=a, b=b, c_in=c_in):  # D = x/(1 + sigma²)
            level = torch.from_numpy(sigma)[:, None, None, None]
            skip = 1 - a * torch.from_numpy(c_in)[:, None, None, None]
            x = x.double() / torch.from_numpy(c_in)[:, None, None, None]
            return torch.cat([(x / (1 + level**2) - skip * x) / b, 0 * x], dim=1)

        results.append(vlb_terms(shrunk, images, sigma, kind, TABLE, seeds=range(4)))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("table", "match"),
    [
        (process.vp(), "process is vp.*expected one with a table"),
        (process.discrete([0.1]), "table of 2 or more"),
        (process.discrete([0.1, 1.0]), "last level is infinite"),
    ],
)
def test_processes_without_a_bound_are_refused(table, match):
    with pytest.raises(ValueError, match=match):
        chain_of(table)


def test_what_is_wrong_is_named():
    images, kind = torch.zeros(1, 1, 2, 2), prediction.eps(TABLE)
    with pytest.raises(ValueError, match=r"sigma holds 0\.5\d*, which is no level of the table"):
        vlb_terms(network, images, [0.51], kind, TABLE, seeds=[0])
    with pytest.raises(ValueError, match="expected twice the channels"):
        vlb_terms(lambda x, c: x, images, [TABLE.level(3)], kind, TABLE, seeds=[0])
