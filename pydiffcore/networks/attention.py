# SPDX-License-Identifier: Apache-2.0
"""Self-attention over the pixels of an image.

y = (x + W softmax(q kᵀ/√d) v) · scale        q, k, v = V norm(x), in heads of d channels
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Attention", "attend", "group_norm", "zeroed"]


def zeroed(layer: nn.Module) -> nn.Module:
    """Start a residual branch at nothing, so that the network starts as a short one."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def group_norm(channels: int, eps: float = 1e-5) -> nn.GroupNorm:
    """Return group norm with as many groups as divide, at most 32, of 4 channels at least."""
    groups = [g for g in range(1, 33) if channels % g == 0 and channels // g >= 4]
    return nn.GroupNorm(max(groups, default=1), channels, eps=eps)


def attend(qkv: Tensor, heads: int) -> Tensor:
    """Return [B, N, C] of queries, keys and values [B, N, 3C] of N tokens."""
    B, N, triple = qkv.shape
    split = qkv.view(B, N, 3, heads, triple // (3 * heads)).permute(2, 0, 3, 1, 4)
    q, k, v = split.unbind(0)
    mixed = functional.scaled_dot_product_attention(q, k, v)
    return mixed.transpose(1, 2).reshape(B, N, triple // 3)


class Attention(nn.Module):
    """Attention of an image to itself, at its start the identity times scale.

    Args:
        channels: a multiple of head_channels.
        head_channels: channels per head, 0 for one head.
        scale: 1/√2 keeps the variance of a sum of two.
        eps: of the group norm.

    Raises:
        ValueError: the channels are not a multiple of head_channels.
    """

    def __init__(
        self, channels: int, head_channels: int = 0, scale: float = 1.0, eps: float = 1e-5
    ) -> None:
        super().__init__()
        if head_channels and channels % head_channels:
            raise ValueError(
                f"head_channels is {head_channels}, which does not divide {channels} channels"
            )
        self.heads = channels // head_channels if head_channels else 1
        self.scale = scale
        self.norm = group_norm(channels, eps)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = zeroed(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return y of the shape of x [B, C, H, W]."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # [B, HW, C]
        mixed = self.out(attend(self.qkv(tokens), self.heads))
        return (x + mixed.transpose(1, 2).view(x.shape)) * self.scale
