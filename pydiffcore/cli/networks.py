# SPDX-License-Identifier: Apache-2.0
"""The benchmark's own networks: F(input, c_noise) of a shape, with random weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["mlp", "stub", "unet"]

Network = Callable[[Tensor, Tensor], Tensor]
WIDTH = 256


def stub(batch: int, shape: tuple[int, ...], device: str) -> Network:
    """Return a network that costs nothing: the same noise at every call."""
    generator = torch.Generator().manual_seed(0)
    F = torch.randn((batch, *shape), generator=generator).to(device)
    return lambda x, c_noise: F


class Mlp(nn.Module):
    """Three linear layers on the flattened sample and c_noise."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(size + 1, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(),
            nn.Linear(WIDTH, size),
        )  # fmt: skip

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """Return F of the shape of x [B, *shape], c_noise [B]."""
        flat = torch.cat([x.flatten(1), c_noise[:, None] / 1000], dim=1)
        return self.body(flat).view(x.shape)


def mlp(batch: int, shape: tuple[int, ...], device: str) -> Network:
    """Return a small multilayer perceptron."""
    return seeded(lambda: Mlp(torch.Size(shape).numel())).to(device)


def unet(batch: int, shape: tuple[int, ...], device: str) -> Network:
    """Return the quickstart's U-Net; its last layers are made random, they start at 0."""
    from pydiffcore.networks import UNet

    if len(shape) != 3:
        raise ValueError(f"--shape is {shape}, the built-in unet needs channels,height,width")
    network = seeded(lambda: UNet(channels=shape[0]))
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        if not bool(parameter.any()):
            with torch.no_grad():
                parameter.normal_(std=0.02, generator=generator)
    return network.to(device)


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """Make a module with the same weights every time, without touching the caller's generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make().eval().requires_grad_(False)
