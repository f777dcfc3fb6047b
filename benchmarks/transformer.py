# SPDX-License-Identifier: Apache-2.0
"""A robot's action policy as a small transformer: 16 actions of 7 numbers, random weights.

The shape is that of the transformer policies of Chi et al. 2023 (arXiv 2303.04137): a token for
each action of the chunk, which reads tokens of the time and of the observation; width 256, 8
layers, 4 heads, about 6 M parameters.  All tokens stand in one sequence and attend to each other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.policy import ACTION, HORIZON, OBSERVATION, frequencies, waves

__all__ = ["Transformer"]

TOKENS = 4  # of an observation
WAVES = 32


class Layer(nn.Module):
    """Attention and a perceptron, each behind a norm and added to the tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.rise, self.fall = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        split = self.qkv(self.first(x)).view(B, T, 3, self.heads, C // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        x = x + self.out(mixed.reshape(B, T, C))
        return x + self.fall(functional.gelu(self.rise(self.second(x))))


class Transformer(nn.Module):
    """F(x, t; observation), [B, 16, 7]."""

    frequencies: Tensor

    def __init__(self, width: int = 256, depth: int = 8, heads: int = 4) -> None:
        super().__init__()
        self.register_buffer("frequencies", frequencies(WAVES), persistent=False)
        self.time = nn.Linear(WAVES, width)
        self.observed = nn.Linear(OBSERVATION // TOKENS, width)
        self.acted = nn.Linear(ACTION, width)
        self.place = nn.Parameter(0.02 * torch.randn(1, 1 + TOKENS + HORIZON, width))
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, ACTION)

    def forward(self, x: Tensor, t: Tensor, observation: Tensor) -> Tensor:
        B = len(x)
        time = self.time(waves(t, B, self.frequencies).to(x.dtype))[:, None]
        observed = self.observed(observation.view(B, TOKENS, -1))
        tokens = torch.cat([time, observed, self.acted(x)], dim=1) + self.place
        for layer in self.layers:
            tokens = layer(tokens)
        return self.last(self.norm(tokens[:, -HORIZON:]))
