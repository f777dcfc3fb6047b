# SPDX-License-Identifier: Apache-2.0
import torch
from networks.cases import alive, inputs

from pydiffcore.networks import ADM


def parameters(**arguments):
    with torch.device("meta"):
        return sum(p.numel() for p in ADM(**arguments).parameters())


def test_size_is_that_of_the_papers():
    """Karras et al. 2022, table 7: 295.9 M for ImageNet-64; one label more is "no class"."""
    assert parameters() == 295_899_267 + 768
    assert parameters(learned_variance=True) - parameters() == 3 * (192 * 9 + 1)


def test_embedding_modulates_every_block():
    network = alive("adm")
    x, c_noise, labels = inputs(network)
    F = network(x, c_noise, labels)
    for block in [*network.encoder, *network.decoder]:
        kept = block.modulated.map.weight.data.clone()
        block.modulated.map.weight.data.zero_()
        assert not torch.allclose(network(x, c_noise, labels), F)
        block.modulated.map.weight.data.copy_(kept)


def test_resampling_blocks_have_no_convolution_in_their_skip():
    for place, block in zip(ADM(**alive("adm").config).up, alive("adm").decoder, strict=True):
        assert isinstance(block.skip, torch.nn.Identity) == (place.skip == 0)
