# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from networks.cases import alive, build, inputs

from pydiffcore.networks import DiT


@pytest.mark.parametrize(
    ("arguments", "millions"),
    [
        ({"width": 384, "depth": 12, "heads": 6}, 33),
        ({}, 675),
    ],
    ids=["S/2", "XL/2"],
)
def test_sizes_are_those_of_the_paper(arguments, millions):
    """Peebles & Xie 2023, which counts the learned variance."""
    with torch.device("meta"):
        network = DiT(learned_variance=True, **arguments)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == millions


def test_blocks_start_as_the_identity():
    network = build("dit")
    h, e = torch.randn(2, 5, 16), torch.randn(2, 16)
    for block in network.blocks:
        assert torch.equal(block(h, e), h)


def test_positions_are_those_of_the_formula():
    network = build("dit")
    grid = network.positions(3, 5, torch.device("cpu")).view(3, 5, 16)
    ladder = 1e4 ** -(np.arange(4) / 4)
    for row, column in np.ndindex(3, 5):
        expected = [f(at * ladder) for at in (column, row) for f in (np.sin, np.cos)]
        np.testing.assert_allclose(grid[row, column], np.concatenate(expected), atol=1e-5)


def test_patches_return_to_where_they_came_from():
    """With blocks that do nothing a patch of F depends on that patch of x alone."""
    network = alive("dit")
    for block in network.blocks:
        torch.nn.init.zeros_(block.modulation.weight)
        torch.nn.init.zeros_(block.modulation.bias)
    x, *rest = inputs(network)
    F = network(x, *rest)
    x[:, :, 2:4, 4:6] += 1
    changed = (network(x, *rest) != F).any(dim=1)
    assert changed[:, 2:4, 4:6].all()
    changed[:, 2:4, 4:6] = False
    assert not changed.any()


def test_no_class_has_a_learned_vector():
    network = build("dit")
    network.label(torch.tensor([3])).sum().backward()
    assert network.label.weight.grad[3].any()
