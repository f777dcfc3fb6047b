# SPDX-License-Identifier: Apache-2.0
"""The norm of gradients and its bound have the bits of torch's own."""

import pytest
import torch

from pydiffcore.train.gradients import clipped


def parameters(scale):
    generator = torch.Generator().manual_seed(3)
    found = [torch.zeros(shape, requires_grad=True) for shape in ((3, 4), (7,), (2, 2, 3))]
    for each in found[:2]:
        each.grad = scale * torch.randn(each.shape, generator=generator)
    return found


@pytest.mark.parametrize("limit", [None, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_same_bits_as_torch(limit, scale):
    ours, theirs = parameters(scale), parameters(scale)
    norm = clipped(ours, limit)
    wanted = torch.nn.utils.clip_grad_norm_(theirs, float("inf") if limit is None else limit)
    assert norm == wanted.item()
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        assert torch.equal(a.grad, b.grad)


def test_nothing_to_bound():
    assert clipped([torch.zeros(3, requires_grad=True)], 1.0) == 0.0


def test_what_is_not_finite_is_told():
    found = parameters(1.0)
    found[0].grad[1, 2] = float("nan")
    assert not torch.tensor(clipped(found, 1.0)).isfinite()
