# SPDX-License-Identifier: Apache-2.0
"""The magnitude-preserving U-Net of EDM2, its configuration G.

    F = EDM2(x, c_noise, class_labels)        x and F [B, C, H, W]

Karras et al. 2024 (arXiv 2312.02696), sections 2 and 3, appendix B: every operation keeps the
expected magnitude of its input, weights have norm 1 always, there is no bias and no group norm.
``normalise_weights`` belongs after each step of the optimiser.  The defaults are the network XS
for latents of ImageNet at 512×512; the widths 64, 192, 256, 320, 384, 448 are XXS, S … XXL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pydiffcore.networks import checks, layout
from pydiffcore.networks.layout import Place
from pydiffcore.networks.magnitude import (
    MPFourier,
    Weight,
    mp_cat,
    mp_silu,
    mp_sum,
    normalised,
    pixel_norm,
)
from pydiffcore.networks.recompute import call
from pydiffcore.networks.resample import Resample

__all__ = ["EDM2"]

RESIDUAL, ATTENTION, LABEL, SKIP = 0.3, 0.3, 0.5, 0.5  # parts t of the sums
LARGEST = 256.0  # activations are cut there, so that float16 holds them


class CosineAttention(nn.Module):
    """mp_sum(x, W softmax(q̂ k̂ᵀ/√d) v̂), where q̂, k̂, v̂ have magnitude 1 in each head."""

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        if channels % head_channels:
            raise ValueError(
                f"head_channels is {head_channels}, which does not divide {channels} channels"
            )
        self.heads = channels // head_channels
        self.qkv = Weight(channels, 3 * channels, kernel=1)
        self.out = Weight(channels, channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the shape of x [B, C, H, W]."""
        B, C, H, W = x.shape
        split = self.qkv(x).reshape(B, 3, self.heads, C // self.heads, H * W)
        q, k, v = pixel_norm(split, dim=3).transpose(3, 4).unbind(1)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return mp_sum(x, self.out(mixed.transpose(2, 3).reshape(B, C, H, W)), ATTENTION)


class Block(nn.Module):
    """mp_sum(s, conv(drop(mp_silu((1 + g W e) conv(mp_silu(h)))))), cut at ±256.

    In the encoder s and h are pixel_norm(skip(x)), in the decoder skip(x) and x.
    """

    def __init__(
        self, place: Place, embedding: int, dropout: float, head_channels: int, encodes: bool
    ) -> None:
        super().__init__()
        inputs, outputs = place.inputs + place.skip, place.outputs
        self.encodes = encodes
        self.resample = Resample(place.resample)
        self.skip = nn.Identity() if inputs == outputs else Weight(inputs, outputs, kernel=1)
        self.conv_in = Weight(outputs if encodes else inputs, outputs, kernel=3)
        self.map = Weight(embedding, outputs)
        self.gain = nn.Parameter(torch.zeros(()))
        self.drop = nn.Dropout(dropout)
        self.conv_out = Weight(outputs, outputs, kernel=3)
        self.attention = CosineAttention(outputs, head_channels) if place.attends else nn.Identity()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """Return [B, outputs, H', W'] of x [B, inputs, H, W] and e [B, embedding]."""
        h = self.resample(x)
        x = self.skip(h)
        if self.encodes:
            h = x = pixel_norm(x)
        h = self.conv_in(mp_silu(h))
        h = mp_silu(h * (1 + self.map(e, self.gain))[:, :, None, None])
        h = self.attention(mp_sum(x, self.conv_out(self.drop(h)), RESIDUAL))
        return h.clamp(-LARGEST, LARGEST)


class EDM2(nn.Module):
    """Magnitude-preserving U-Net for class-conditional images or latents.

    Args:
        channels: of the image.
        classes: number of classes, 0 for none; the label ``classes`` stands for "no class".
        size: height and width that ``attention`` speaks of; other sizes are taken too.
        width: channels that the multipliers multiply.
        multipliers: one per resolution.
        blocks: residual blocks per resolution.
        attention: resolutions with attention.
        head_channels: channels per attention head.
        dropout: inside the blocks, in training only.
        checkpointing: recompute the blocks in the backward pass.

    Raises:
        ValueError: a size is out of range.
    """

    def __init__(
        self,
        channels: int = 4,
        classes: int = 1000,
        size: int = 64,
        width: int = 128,
        multipliers: Sequence[int] = (1, 2, 3, 4),
        blocks: int = 3,
        attention: Sequence[int] = (16, 8),
        head_channels: int = 64,
        dropout: float = 0.0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        checks.at_least(1, channels=channels, width=width, blocks=blocks)
        checks.not_empty(multipliers=multipliers)
        checks.at_least(0, classes=classes)
        checks.at_least(1, head_channels=head_channels)
        self.config: dict[str, Any] = {
            "channels": channels, "classes": classes, "size": size, "width": width,
            "multipliers": list(multipliers), "blocks": blocks, "attention": list(attention),
            "head_channels": head_channels, "dropout": dropout, "checkpointing": checkpointing,
        }  # fmt: skip
        widths = [width * m for m in multipliers]
        attended = layout.attended_levels(size, len(multipliers), attention)
        shared = (max(widths), dropout, head_channels)
        self.fourier = MPFourier(widths[0])
        self.number = Weight(widths[0], max(widths))
        if classes:
            self.label = Weight(classes, max(widths))
        self.enter = Weight(channels + 1, widths[0], kernel=3)  # one more, of ones, is the bias
        self.encoder = nn.ModuleList(
            Block(place, *shared, encodes=True)
            for place in layout.encoder(widths[0], widths, blocks, attended)
        )
        self.up = layout.decoder(widths[0], widths, blocks, attended)
        self.decoder = nn.ModuleList(Block(place, *shared, encodes=False) for place in self.up)
        self.leave = Weight(widths[0], channels, kernel=3)
        self.gain = nn.Parameter(torch.zeros(()))
        self.normalise_weights()

    def normalise_weights(self) -> None:
        """Set every weight to a root mean square of 1; call it after each optimiser step."""
        for module in self.modules():
            if isinstance(module, Weight):
                module.normalise_()

    def embed(self, c_noise: Tensor, class_labels: Tensor) -> Tensor:
        """Return the embedding [B, E] of a number and a class per image."""
        e = self.number(self.fourier(c_noise).to(self.number.weight.dtype))
        if self.config["classes"]:
            # A one-hot vector of magnitude 1 times ŵ is a column of √N ŵ, "no class" is a 0.
            table = functional.pad(normalised(self.label.weight).to(e.dtype), (0, 1))
            e = mp_sum(e, functional.embedding(class_labels, table.T), LABEL)
        return mp_silu(e)

    def forward(self, x: Tensor, c_noise: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return F [B, C, H, W].

        Args:
            x: images [B, C, H, W], H and W multiples of 2 to the number of halvings.
            c_noise: a number per image [B]; log(σ)/4 in the paper.
            class_labels: int64 [B], ``classes`` for none; None for none at all.

        Raises:
            ValueError: an argument has another shape.
        """
        config = self.config
        checks.image(x, config["channels"], 2 ** (len(config["multipliers"]) - 1))
        checks.number(c_noise, x)
        e = self.embed(c_noise, checks.labels(class_labels, config["classes"], x))
        again = config["checkpointing"]
        h = x.to(self.enter.weight.dtype)
        left = [self.enter(torch.cat([h, torch.ones_like(h[:, :1])], dim=1))]
        for block in self.encoder:
            left.append(call(block, left[-1], e, again=again))
        h = left[-1]
        for place, block in zip(self.up, self.decoder, strict=True):
            h = mp_cat(h, left.pop(), SKIP) if place.skip else h
            h = call(block, h, e, again=again)
        return self.leave(h, self.gain).to(x.dtype)
