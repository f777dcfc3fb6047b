# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from networks.cases import alive, build, inputs

from pydiffcore.networks import DDPMpp, NCSNpp


def parameters(make, **arguments):
    with torch.device("meta"):
        return sum(p.numel() for p in make(**arguments).parameters())


def test_sizes_are_those_of_the_papers():
    """Karras et al. 2022, table 7: 55.7 M and 56.5 M for CIFAR-10."""
    assert parameters(DDPMpp) == 55_732_739
    assert parameters(DDPMpp, augmentation=9) == 55_733_891
    assert parameters(NCSNpp) == 56_395_523
    assert abs(parameters(NCSNpp, augmentation=9) / 56.5e6 - 1) < 0.005


def test_augmentation_is_a_condition_and_none_is_its_zero():
    network = alive("ddpmpp", augmentation=2)
    x, c_noise, labels = inputs(network)
    none = torch.zeros(len(x), 2)
    F = network(x, c_noise, labels, none)
    assert torch.equal(network(x, c_noise, labels), F)
    assert not torch.allclose(network(x, c_noise, labels, none + 1), F)
    with pytest.raises(ValueError, match="augmentation_labels has shape"):
        network(x, c_noise, labels, none[:, :1])
    with pytest.raises(ValueError, match=r"augmentation_labels has shape .* has none"):
        alive("ddpmpp")(x, c_noise, labels, none)


def test_progressive_output_is_a_sum_over_the_resolutions():
    network = alive("ncsnpp, skip")
    x, c_noise = inputs(network)
    with torch.no_grad():
        network.leave[0].conv.weight.zero_()
        network.leave[0].conv.bias.zero_()
    coarse = network(x, c_noise)
    assert coarse.std() > 1e-3
    assert coarse.diff(dim=3).std() < coarse.std()  # smooth: it was enlarged
    with torch.no_grad():
        network.leave[1].conv.weight.zero_()
        network.leave[1].conv.bias.zero_()
    assert torch.count_nonzero(network(x, c_noise)) == 0


def test_progressive_input_reaches_each_lower_resolution():
    network = alive("ncsnpp")
    x, c_noise, labels = inputs(network)
    F = network(x, c_noise, labels)
    for shrink in network.shrink:
        kept = shrink.conv.weight.data.clone()
        shrink.conv.weight.data.zero_()
        assert not torch.allclose(network(x, c_noise, labels), F)
        shrink.conv.weight.data.copy_(kept)


def test_words_that_are_unknown_are_named():
    with pytest.raises(ValueError, match="embedding is 'cosine', expected one of positional"):
        DDPMpp(embedding="cosine")


def test_sums_are_divided_by_the_root_of_two():
    network = alive("ncsnpp")
    x, c_noise, labels = inputs(network)
    e, image = network.embed(c_noise, labels), x
    left = network._encode(x, e)
    for i, (place, block) in enumerate(zip(network.down, network.encoder, strict=True)):
        h = block(left[i], e)
        if place.resample:
            h = image = (h + network.shrink[place.level - 1](image)) / 2**0.5
        torch.testing.assert_close(left[i + 1], h, rtol=1e-4, atol=1e-5)
        torch.nn.init.zeros_(block.conv_out.weight)
        torch.nn.init.zeros_(block.conv_out.bias)
        if isinstance(block.skip, torch.nn.Identity) and not place.attends:
            torch.testing.assert_close(block(left[i], e), left[i] / 2**0.5)


def test_input_skip_adds_the_image_at_each_lower_resolution():
    network = alive("ncsnpp, input skip")
    x, c_noise = inputs(network)
    F = network(x, c_noise)
    assert len(network.join) == 2
    for join in network.join:
        kept = join.weight.data.clone()
        join.weight.data.zero_()
        assert not torch.allclose(network(x, c_noise), F)
        join.weight.data.copy_(kept)
    e = network.embed(c_noise, None)
    left, image = network._encode(x, e), x
    for i, (place, block) in enumerate(zip(network.down, network.encoder, strict=True)):
        h = block(left[i], e)
        if place.resample:
            image = network.reduce(image)
            h = h + network.join[place.level - 1](image)
        torch.testing.assert_close(left[i + 1], h, rtol=1e-4, atol=1e-5)
    assert image.shape == (len(x), 3, x.shape[2] // 4, x.shape[3] // 4)


def test_residual_output_carries_features_upwards():
    network = alive("ncsnpp, residual")
    x, c_noise = inputs(network)
    F, seen = network(x, c_noise), []
    assert [(each.conv.in_channels, each.conv.out_channels) for each in network.grow] == [
        (16, 8), (24, 16),
    ]  # fmt: skip
    network.leave[0].register_forward_pre_hook(lambda _, h: seen.append(h[0]))
    network.grow[0].register_forward_hook(lambda _, __, h: seen.append(h))
    network.decoder[-1].register_forward_hook(lambda _, __, h: seen.append(h))
    network(x, c_noise)
    last, grown, h = seen
    torch.testing.assert_close(h, (grown + last) / 2**0.5)
    for module in (network.first[0].conv, network.grow[1].conv, network.grow[0].conv):
        kept = module.weight.data.clone()
        module.weight.data.zero_()
        assert not torch.allclose(network(x, c_noise), F)
        module.weight.data.copy_(kept)


def test_parameters_of_progressive_architectures():
    """Beside the plain network: C·w + w for each lower w; 3×3 convolutions between the widths."""
    plain = parameters(NCSNpp, progressive_input="none")
    assert parameters(NCSNpp, progressive_input="skip") - plain == 2 * (3 * 256 + 256)
    added = parameters(NCSNpp, progressive_input="none", progressive_output="residual") - plain
    assert added == 3 * (9 * 256 * 256 + 256) + 2 * 256
    skip = parameters(NCSNpp, progressive_input="none", progressive_output="skip") - plain
    assert skip == 2 * (2 * 256 + 9 * 256 * 3 + 3)


@pytest.mark.parametrize("name", ["ncsnpp, input skip", "ncsnpp, residual"])
def test_other_progressive_networks_start_as_zero(name):
    network = build(name)
    assert torch.count_nonzero(network(*inputs(network)[:2])) == 0
