# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pydiffcore.networks import UNet


@pytest.fixture
def network():
    """A U-Net whose zero-initialised layers are filled, so that every path carries signal."""
    torch.manual_seed(0)
    network = UNet(width=8, embedding=16).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def batch(size=5):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(size, 1, 8, 8, generator=generator)
    return x, torch.randn(size, generator=generator), torch.arange(size) % 10


def test_default_size_is_half_a_million():
    assert 0.4e6 < sum(p.numel() for p in UNet().parameters()) < 0.6e6


def test_output_has_the_shape_of_the_input(network):
    x, c_noise, labels = batch()
    assert network(x, c_noise, labels).shape == x.shape
    assert UNet(channels=3, width=8)(torch.zeros(2, 3, 12, 16), torch.zeros(2)).shape == (
        2, 3, 12, 16,
    )  # fmt: skip


def test_starts_as_zero():
    x, c_noise, labels = batch()
    assert torch.count_nonzero(UNet(width=8)(x, c_noise, labels)) == 0


def test_each_image_is_a_function_of_its_own_inputs(network):
    x, c_noise, labels = batch()
    together = network(x, c_noise, labels)
    for i in range(len(x)):
        alone = network(x[i : i + 1], c_noise[i : i + 1], labels[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)


def test_number_and_class_both_matter(network):
    x, c_noise, labels = batch()
    F = network(x, c_noise, labels)
    for other in (network(x, c_noise + 0.3, labels), network(x, c_noise, (labels + 1) % 10)):
        assert (F - other).flatten(1).norm(dim=1).min() > 1e-3


def test_no_labels_is_the_label_behind_the_last(network):
    x, c_noise, _ = batch()
    none = torch.full((len(x),), 10)
    assert torch.equal(network(x, c_noise), network(x, c_noise, none))


def test_layouts_and_label_dtypes_agree(network):
    x, c_noise, labels = batch()
    x = x.expand(-1, 1, 8, 8)
    F = network(x, c_noise, labels)
    last = x.to(memory_format=torch.channels_last)
    spread = torch.empty(len(x), 1, 8, 16)[..., ::2].copy_(x)
    for other in (last, spread):
        torch.testing.assert_close(network(other, c_noise.double(), labels), F)


def test_every_parameter_gets_a_gradient(network):
    x, c_noise, labels = batch()
    network(x, c_noise, labels).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("shape", [(2, 1, 7, 8), (2, 1, 8, 7), (2, 3, 8, 8), (2, 8, 8)])
def test_wrong_images_are_named(network, shape):
    with pytest.raises(ValueError, match=r"x has shape .*, expected \[B, 1, H, W\]"):
        network(torch.zeros(shape), torch.zeros(2))


def test_wrong_labels_are_named(network):
    with pytest.raises(ValueError, match="class_labels has shape"):
        network(torch.zeros(2, 1, 8, 8), torch.zeros(2), torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("size", [{"width": 0}, {"width": 12}, {"classes": 0}, {"embedding": 0}])
def test_wrong_sizes_are_named(size):
    with pytest.raises(ValueError, match=next(iter(size))):
        UNet(**size)
