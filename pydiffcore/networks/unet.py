# SPDX-License-Identifier: Apache-2.0
"""A small class-conditional U-Net: two resolutions, attention at the lower one.

    F = UNet(x, c_noise, class_labels)        x and F [B, C, H, W], H and W even

It is a function of an image, a number and a class, and knows nothing of what they mean.  The
form is that of Ronneberger et al. 2015 (arXiv 1505.04597) with the residual blocks, scale and
shift by an embedding, and zero-initialised last layers of Dhariwal & Nichol 2021
(arXiv 2105.05233), appendix A.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["UNet"]

GROUPS = 8
FREQUENCIES = 16
HEADS = 4


def _zeroed(layer: nn.Module) -> Any:
    """Start a residual branch at nothing, so that the network starts as a short one."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Block(nn.Module):
    """y = skip(x) + conv(drop(silu((1 + a) norm(conv(silu(norm(x)))) + b))), (a, b) = W e."""

    def __init__(self, inputs: int, outputs: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(GROUPS, inputs)
        self.conv_in = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * outputs)
        self.norm_out = nn.GroupNorm(GROUPS, outputs, affine=False)
        self.drop = nn.Dropout(dropout)
        self.conv_out = _zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        same = inputs == outputs
        self.skip = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """Return y [B, outputs, H, W] of x [B, inputs, H, W] and e [B, embedding]."""
        h = self.conv_in(functional.silu(self.norm_in(x)))
        a, b = self.modulation(e)[:, :, None, None].chunk(2, dim=1)
        h = torch.addcmul(b, self.norm_out(h), 1 + a)
        return self.skip(x) + self.conv_out(self.drop(functional.silu(h)))


class Attention(nn.Module):
    """y = x + W softmax(q kᵀ/√d) v over the pixels of each image, in HEADS heads."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = _zeroed(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return y of the shape of x [B, C, H, W]."""
        B, C, H, W = x.shape
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # [B, HW, C]
        heads = self.qkv(tokens).view(B, H * W, 3, HEADS, C // HEADS).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*heads.unbind(0))
        mixed = self.out(mixed.transpose(1, 2).reshape(B, H * W, C))
        return x + mixed.transpose(1, 2).view(B, C, H, W)


class UNet(nn.Module):
    """Class-conditional U-Net for images of even height and width.

    Args:
        channels: of the image.
        classes: number of classes; the label ``classes`` stands for "no class".
        width: channels at full resolution, twice as many at half; a multiple of 8.
        embedding: size of the vector that carries number and class to every block.
        dropout: inside the blocks, in training only.
        scale: of the number, whose standard deviation should be about 0.3 after it: EDM's ln(σ)/4
            has that by itself, the index of a table of 1000 levels wants 0.001.

    Raises:
        ValueError: a size is out of range.
    """

    frequencies: Tensor

    def __init__(
        self,
        channels: int = 1,
        classes: int = 10,
        width: int = 32,
        embedding: int = 96,
        dropout: float = 0.1,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        if not scale > 0:
            raise ValueError(f"scale is {scale}, expected a number above 0")
        if width < GROUPS or width % GROUPS:
            raise ValueError(f"width is {width}, expected a positive multiple of {GROUPS}")
        if min(channels, classes, embedding) < 1:
            raise ValueError(
                f"channels, classes, embedding are {channels}, {classes}, {embedding}, "
                "expected at least 1"
            )
        self.config = {
            "channels": channels, "classes": classes, "width": width, "embedding": embedding,
            "dropout": dropout, "scale": scale,
        }  # fmt: skip
        wide = 2 * width
        waves = scale * math.pi * 2.0 ** torch.linspace(-2, 3, FREQUENCIES)
        self.register_buffer("frequencies", waves, persistent=False)
        self.number = nn.Linear(2 * FREQUENCIES, embedding)
        self.label = nn.Embedding(classes + 1, embedding)
        self.mix = nn.Linear(embedding, embedding)
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.fine_in = nn.ModuleList(Block(width, width, embedding, dropout) for _ in range(2))
        self.down = nn.Conv2d(width, wide, 3, stride=2, padding=1)
        self.coarse_in = Block(wide, wide, embedding, dropout)
        self.attention = Attention(wide)
        self.coarse_middle = Block(wide, wide, embedding, dropout)
        self.coarse_out = nn.ModuleList(
            [Block(2 * wide, wide, embedding, dropout), Block(wide, wide, embedding, dropout)]
        )
        self.up = nn.Conv2d(wide, width, 3, padding=1)
        self.fine_out = nn.ModuleList(
            [Block(2 * width, width, embedding, dropout), Block(width, width, embedding, dropout)]
        )
        self.norm = nn.GroupNorm(GROUPS, width)
        self.leave = _zeroed(nn.Conv2d(width, channels, 3, padding=1))
        # oneDNN's convolutions read this layout without a reorder.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def embed(self, c_noise: Tensor, class_labels: Tensor | None) -> Tensor:
        """Return the embedding [B, embedding] of a number and a class per image."""
        phase = c_noise.to(self.frequencies.dtype)[:, None] * self.frequencies
        e = self.number(torch.cat([phase.sin(), phase.cos()], dim=1))
        if class_labels is None:
            class_labels = torch.full_like(c_noise, self.config["classes"], dtype=torch.int64)
        e = functional.silu(e + self.label(class_labels))
        return functional.silu(self.mix(e))

    def forward(self, x: Tensor, c_noise: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return F [B, C, H, W].

        Args:
            x: images [B, C, H, W].
            c_noise: a number per image [B].
            class_labels: int64 [B], ``classes`` for none; None for none at all.

        Raises:
            ValueError: x has other channels or an odd size, or the labels another length.
        """
        self._check(x, class_labels)
        e = self.embed(c_noise, class_labels)
        x = self.enter(x)
        for block in self.fine_in:
            x = block(x, e)
        fine = x
        coarse = self.coarse_in(self.down(x), e)
        x = self.coarse_middle(self.attention(coarse), e)
        x = torch.cat([x, coarse], dim=1)
        for block in self.coarse_out:
            x = block(x, e)
        x = self.up(functional.interpolate(x, scale_factor=2, mode="nearest"))
        x = torch.cat([x, fine], dim=1)
        for block in self.fine_out:
            x = block(x, e)
        return self.leave(functional.silu(self.norm(x)))

    def _check(self, x: Tensor, class_labels: Tensor | None) -> None:
        channels = self.config["channels"]
        if x.ndim != 4 or x.shape[1] != channels or x.shape[2] % 2 or x.shape[3] % 2:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, expected [B, {channels}, H, W] with even H and W"
            )
        if class_labels is not None and class_labels.shape != x.shape[:1]:
            raise ValueError(
                f"class_labels has shape {tuple(class_labels.shape)}, expected ({len(x)},)"
            )
