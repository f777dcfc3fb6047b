# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from networks.cases import alive, inputs

from pydiffcore.networks.refinenet import InstanceNormPlus


def test_norm_is_of_the_formula():
    """Song & Ermon 2019, appendix A."""
    norm = InstanceNormPlus(3, (4, 2))
    torch.nn.init.normal_(norm.shift)
    torch.nn.init.normal_(norm.label.weight)
    x, level = 9 * (torch.randn(5, 3, 8, 8) + torch.randn(5, 3, 1, 1)), torch.arange(5) % 4
    label = torch.arange(5) % 3
    y = norm(x, torch.stack([level, label]))
    own = norm.label.weight.view(3, 3, 3)  # class, one of γ, α, β, channel
    for b in range(5):
        mu, s = x[b].mean((1, 2)), x[b].std((1, 2), correction=0)
        m, v = mu.mean(), mu.std(correction=0)
        i = level[b]
        for k in range(3):
            gamma, alpha = norm.scales[:, i, k] + own[label[b], :2, k]
            among = alpha * (mu[k] - m) / v + norm.shift[i, k] + own[label[b], 2, k]
            expected = gamma * (x[b, k] - mu[k]) / s[k] + among
            torch.testing.assert_close(y[b, k], expected, rtol=1e-3, atol=1e-4)


def test_a_batch_of_none():
    network = alive("refinenet")
    x, c_noise = inputs(network)
    assert network(x[:0], c_noise[:0]).shape == x[:0].shape


def test_the_second_version_does_not_read_the_number():
    network = alive("refinenet, v2")
    x, c_noise = inputs(network)
    assert torch.equal(network(x, c_noise), network(x, 100 + c_noise))


def test_levels_are_rounded_and_out_of_range_refused():
    network = alive("refinenet")
    x, c_noise = inputs(network)
    F = network(x, c_noise)
    assert torch.equal(network(x, c_noise.to(torch.int32)), F)
    assert torch.equal(network(x, c_noise + 0.01), F)
    for wrong in (c_noise + 1, c_noise - 1):
        with pytest.raises(ValueError, match="c_noise has an index outside 0 … 3"):
            network(x, wrong)
