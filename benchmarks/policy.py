# SPDX-License-Identifier: Apache-2.0
"""A robot's action policy: a conditional 1-D U-Net over 16 actions of 7 numbers, random weights.

The shape is that of the diffusion policies of Chi et al. 2023 (arXiv 2303.04137): convolutions of
width 5 with group norms and Mish, the observation and the time in scales and shifts (FiLM), cosine
betas over 100 steps, a clipped noise prediction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import pydiffcore
from pydiffcore import levels, prediction, process, samplers

HORIZON, ACTION, OBSERVATION = 16, 7, 64
BETAS = {"num_train_timesteps": 100, "beta_schedule": "squaredcos_cap_v2"}


def convolution(before: int, after: int) -> nn.Module:
    """A convolution of width 5, normalised."""
    return nn.Sequential(nn.Conv1d(before, after, 5, padding=2), nn.GroupNorm(8, after), nn.Mish())


class Block(nn.Module):
    """Convolution, FiLM, convolution, and the input again."""

    def __init__(self, before: int, after: int, condition: int) -> None:
        super().__init__()
        self.first, self.second = convolution(before, after), convolution(after, after)
        self.film = nn.Linear(condition, 2 * after)
        self.skip = nn.Conv1d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        scale, shift = self.film(e)[:, :, None].chunk(2, dim=1)
        return self.second(scale * self.first(x) + shift) + self.skip(x)


def frequencies(size: int) -> Tensor:
    """Frequencies of size/2 waves, from 1 down to 1e-4."""
    return torch.exp(torch.arange(size // 2) * (-math.log(1e4) / (size // 2 - 1)))


def waves(t: Tensor, samples: int, frequencies: Tensor) -> Tensor:
    """Sines and cosines of the time, one number or one for each sample, in float32."""
    phase = t.reshape(-1, 1).float().expand(samples, 1) * frequencies
    return torch.cat([phase.sin(), phase.cos()], dim=1)


class Policy(nn.Module):
    """ε(x, t; observation), [B, 16, 7]."""

    frequencies: Tensor

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        e, pairs = OBSERVATION + 32, list(zip([ACTION, *widths], widths, strict=False))
        self.register_buffer("frequencies", frequencies(32), persistent=False)
        self.down = nn.ModuleList(Block(a, b, e) for a, b in pairs)
        self.middle = Block(widths[-1], widths[-1], e)
        self.up = nn.ModuleList(Block(2 * b, a, e) for a, b in reversed(pairs[1:]))
        self.last = nn.Sequential(
            convolution(widths[0], widths[0]), nn.Conv1d(widths[0], ACTION, 1)
        )

    def forward(self, x: Tensor, t: Tensor, observation: Tensor) -> Tensor:
        e = waves(t, len(x), self.frequencies).to(observation.dtype)
        e = torch.cat([observation, e], dim=1)
        x, kept = x.transpose(1, 2), []
        for i, block in enumerate(self.down):
            x = block(x, e)
            kept.append(x)
            x = nn.functional.avg_pool1d(x, 2) if i + 1 < len(self.down) else x
        x = self.middle(x, e)
        for block in self.up:
            x = block(torch.cat([x, kept.pop()], dim=1), e)
            x = nn.functional.interpolate(x, scale_factor=2.0)
        return self.last(x).transpose(1, 2)


def policy(widths: Sequence[int]) -> Callable[..., Tensor]:
    """Return an untrained policy of these widths."""
    torch.manual_seed(0)
    return Policy(widths).eval()


def scheduled(
    scheduler: Any, n: int, network: Callable[..., Tensor], observation: Tensor
) -> Callable[[], Tensor]:
    """The usual loop around a scheduler with diffusers' interface."""

    def run() -> Tensor:
        scheduler.set_timesteps(n)
        x = torch.randn(len(observation), HORIZON, ACTION)
        for t in scheduler.timesteps:
            x = scheduler.step(network(x, t, observation), t, x).prev_sample
        return x

    return run


def fused(
    sampler: str, n: int, network: Callable[..., Tensor], observation: Tensor
) -> Callable[[], Tensor]:
    """The same by ``pydiffcore.sample``, one plan for all runs."""
    cosine = process.discrete(process.cosine_betas(100))
    t = torch.arange(n - 1, -1, -1).double().numpy() * (100 // n)
    plan = pydiffcore.trace(
        getattr(samplers, sampler),
        levels.explicit([*cosine.level(t), 0.0], cosine),
        prediction.eps(cosine),
        clip=(-1, 1),
        scaling=cosine,
    )
    model = pydiffcore.Denoiser(network, prediction.eps(cosine), {"observation": observation})
    seeds = iter(range(10**9))

    def run() -> Tensor:
        return pydiffcore.sample(
            model, plan, shape=(HORIZON, ACTION), seeds=[next(seeds) for _ in observation]
        )

    return run
