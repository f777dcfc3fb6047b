# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from networks.cases import alive, inputs

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
