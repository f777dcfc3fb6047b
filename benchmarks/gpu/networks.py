# SPDX-License-Identifier: Apache-2.0
"""Networks with random weights, in the sizes of those that people sample from.

All are called as ``F = network(x, c_noise, **condition)`` and build no tensor on the CPU, so that
a CUDA graph can hold them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from pydiffcore.networks.unet import Attention, Block

__all__ = ["DiT", "Pixels", "parameters", "ready"]


class Waves(nn.Module):
    """Sines and cosines of a number [B], in float32, then in the network's dtype: [B, size]."""

    frequencies: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        waves = torch.exp(torch.arange(size // 2) * (-2 * math.log(1e4) / size))
        self.register_buffer("frequencies", waves, persistent=False)

    def forward(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        phase = t.float()[:, None] * self.frequencies
        return torch.cat([phase.cos(), phase.sin()], dim=1).to(dtype)


class Pixels(nn.Module):
    """A U-Net with the depth and width of EDM's for 32×32 images, about 56 M parameters.

    Karras et al. 2022 (arXiv 2206.00364), table 7, "DDPM++": three resolutions of 256 channels,
    four residual blocks each on the way down and five on the way up, attention at 16×16.
    """

    def __init__(self, width: int = 256, depth: int = 4, resolutions: int = 3) -> None:
        super().__init__()
        e = 2 * width
        self.waves = Waves(width // 2)
        self.embed = nn.Sequential(nn.Linear(width // 2, e), nn.SiLU(), nn.Linear(e, e), nn.SiLU())
        self.enter = nn.Conv2d(3, width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level in range(resolutions):
            for _ in range(depth):
                self.down.append(self.block(width, width, e, level == 1))
            if level + 1 < resolutions:
                self.down.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
        self.middle = nn.ModuleList([self.block(width, width, e, True),
                                     self.block(width, width, e, False)])  # fmt: skip
        for level in reversed(range(resolutions)):
            for _ in range(depth + 1):
                self.up.append(self.block(2 * width, width, e, level == 1))
            if level:
                self.up.append(nn.Conv2d(width, width, 3, padding=1))
        self.norm = nn.GroupNorm(8, width)
        self.leave = nn.Conv2d(width, 3, 3, padding=1)

    @staticmethod
    def block(before: int, after: int, e: int, attends: bool) -> nn.Module:
        """Return a residual block, and attention behind it where it has one."""
        layers = nn.ModuleList([Block(before, after, e, 0.0)])
        if attends:
            layers.append(Attention(after))
        return layers

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """Return F [B, 3, H, W]."""
        e = self.embed(self.waves(c_noise, x.dtype))
        x = self.enter(x)
        kept = [x]
        for layer in self.down:
            x = run(layer, x, e)
            kept.append(x)
        for layer in self.middle:
            x = run(layer, x, e)
        for layer in self.up:
            if isinstance(layer, nn.Conv2d):
                x = layer(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
            else:
                x = run(layer, torch.cat([x, kept.pop()], dim=1), e)
        return self.leave(functional.silu(self.norm(x)))


def run(layer: nn.Module, x: Tensor, e: Tensor) -> Tensor:
    """Run a convolution, or a block with its attention."""
    if not isinstance(layer, nn.ModuleList):
        return layer(x)
    x = layer[0](x, e)
    return layer[1](x) if len(layer) > 1 else x


class Layer(nn.Module):
    """Attention and a perceptron over tokens, scaled, shifted and gated by an embedding."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Linear(width, 6 * width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.rise, self.fall = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        B, T, C = x.shape
        a1, b1, g1, a2, b2, g2 = self.modulation(e)[:, None].chunk(6, dim=2)
        heads = self.qkv(torch.addcmul(b1, self.norm(x), 1 + a1)).view(B, T, 3, self.heads, -1)
        q, k, v = heads.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, T, C)
        x = x + g1 * self.out(mixed)
        h = functional.gelu(self.rise(torch.addcmul(b2, self.norm(x), 1 + a2)), approximate="tanh")
        return x + g2 * self.fall(h)


class DiT(nn.Module):
    """A diffusion transformer on latents [B, 4, 32, 32] with patches of 2×2, without classes.

    Peebles & Xie 2023 (arXiv 2212.09748), table 1: "S" has width 384, 12 layers and 6 heads;
    "XL" 1152, 28 and 16.
    """

    def __init__(self, width: int, depth: int, heads: int, size: int = 32) -> None:
        super().__init__()
        self.waves = Waves(256)
        self.embed = nn.Sequential(
            nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.enter = nn.Conv2d(4, width, 2, stride=2)
        self.place = nn.Parameter(0.02 * torch.randn(1, (size // 2) ** 2, width))
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Linear(width, 2 * width)
        self.leave = nn.Linear(width, 16)

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """Return F [B, 4, H, W]."""
        B, C, H, W = x.shape
        e = self.embed(self.waves(c_noise, x.dtype))
        x = self.enter(x).flatten(2).transpose(1, 2) + self.place
        for layer in self.layers:
            x = layer(x, e)
        a, b = self.modulation(e)[:, None].chunk(2, dim=2)
        x = self.leave(torch.addcmul(b, self.norm(x), 1 + a))
        patches = x.view(B, H // 2, W // 2, 2, 2, C).permute(0, 5, 1, 3, 2, 4)
        return patches.reshape(B, C, H, W)


def ready(make: Callable[[], nn.Module], device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Make a network on a device, with random weights everywhere; frequencies stay float32."""
    torch.manual_seed(0)
    with torch.device(device):  # hundreds of millions of random numbers: let the device draw them
        network = make()
    for parameter in network.parameters():
        if not parameter.any():  # layers that training starts at nothing would make F zero
            nn.init.normal_(parameter, std=0.02)
    kept = dict(network.named_buffers())
    network = network.to(dtype).eval().requires_grad_(False)
    for name, buffer in kept.items():
        owner, _, leaf = name.rpartition(".")
        network.get_submodule(owner).register_buffer(leaf, buffer, persistent=False)
    return network


def parameters(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(each.numel() for each in network.parameters())
