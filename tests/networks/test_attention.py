# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pydiffcore.networks.attention import Attention, attend, group_norm


def test_attention_is_of_the_formula():
    qkv = torch.randn(2, 5, 3 * 8)
    q, k, v = (part.view(2, 5, 2, 4).transpose(1, 2) for part in qkv.chunk(3, dim=2))
    mixed = (q @ k.transpose(2, 3) / 4**0.5).softmax(dim=3) @ v
    expected = mixed.transpose(1, 2).reshape(2, 5, 8)
    torch.testing.assert_close(attend(qkv, heads=2), expected, rtol=1e-4, atol=1e-5)


def test_starts_as_a_multiple_of_the_identity():
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(Attention(8, scale=0.5)(x), 0.5 * x)


def test_pixels_are_a_set():
    attention = Attention(8, head_channels=4)
    torch.nn.init.normal_(attention.out.weight)
    x = torch.randn(2, 8, 4, 4)
    turned = attention(x.rot90(1, (2, 3)))
    torch.testing.assert_close(turned, attention(x).rot90(1, (2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "groups"), [(128, 32), (192, 32), (576, 32), (144, 24), (8, 2), (4, 1), (3, 1)]
)
def test_groups_have_four_channels_at_least(channels, groups):
    assert group_norm(channels).num_groups == groups


def test_heads_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="head_channels is 5"):
        Attention(8, head_channels=5)
