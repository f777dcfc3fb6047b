# SPDX-License-Identifier: Apache-2.0
"""ADM, the "ablated diffusion model" U-Net.

    F = ADM(x, c_noise, class_labels)       x [B, C, H, W] → F [B, C, H, W], or 2C with a variance

Dhariwal & Nichol 2021 (arXiv 2105.05233), section 3 and appendix A: residual blocks that also
resample, adaptive group norm, attention at several resolutions with 64 channels per head.  The
defaults are their network for ImageNet at 64×64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pydiffcore.networks import checks, layout
from pydiffcore.networks.attention import group_norm, zeroed
from pydiffcore.networks.block import Block, Kind, Modulated
from pydiffcore.networks.embedding import Label, sinusoids
from pydiffcore.networks.recompute import call

__all__ = ["ADM"]


class ADM(nn.Module):
    """U-Net for class-conditional images.

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
        learned_variance: leave 2C channels, F and then a variance's interpolation.
        checkpointing: recompute the blocks in the backward pass.

    Raises:
        ValueError: a size is out of range.
    """

    def __init__(
        self,
        channels: int = 3,
        classes: int = 1000,
        size: int = 64,
        width: int = 192,
        multipliers: Sequence[int] = (1, 2, 3, 4),
        blocks: int = 3,
        attention: Sequence[int] = (32, 16, 8),
        head_channels: int = 64,
        dropout: float = 0.1,
        learned_variance: bool = False,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        checks.at_least(1, channels=channels, blocks=blocks)
        checks.not_empty(multipliers=multipliers)
        checks.at_least(0, classes=classes, head_channels=head_channels)
        checks.at_least(4, width=width)
        self.config: dict[str, Any] = {
            "channels": channels, "classes": classes, "size": size, "width": width,
            "multipliers": list(multipliers), "blocks": blocks, "attention": list(attention),
            "head_channels": head_channels, "dropout": dropout,
            "learned_variance": learned_variance, "checkpointing": checkpointing,
        }  # fmt: skip
        embedding = 4 * width
        self.map = nn.Sequential(
            nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        if classes:
            self.label = Label(classes, embedding)
        kind = Kind(embedding, Modulated, dropout, head_channels=head_channels)
        attended = layout.attended_levels(size, len(multipliers), attention)
        widths = [width * m for m in multipliers]
        self.up = layout.decoder(widths[0], widths, blocks, attended)
        self.enter = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(
            Block(place, kind) for place in layout.encoder(widths[0], widths, blocks, attended)
        )
        self.decoder = nn.ModuleList(Block(place, kind) for place in self.up)
        self.norm = group_norm(widths[0])
        outputs = 2 * channels if learned_variance else channels
        self.leave = zeroed(nn.Conv2d(widths[0], outputs, 3, padding=1))

    def embed(self, c_noise: Tensor, class_labels: Tensor) -> Tensor:
        """Return the embedding [B, 4·width] of a number and a class per image."""
        waves = sinusoids(c_noise, self.config["width"])
        e = self.map(waves.to(self.enter.weight.dtype))
        if self.config["classes"]:
            e = e + self.label(class_labels)
        return functional.silu(e)

    def forward(self, x: Tensor, c_noise: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return F [B, C, H, W], or [B, 2C, H, W] with a learned variance.

        Args:
            x: images [B, C, H, W], H and W multiples of 2 to the number of halvings.
            c_noise: a number per image [B]; in units of the paper's time steps, 0 … 1000.
            class_labels: int64 [B], ``classes`` for none; None for none at all.

        Raises:
            ValueError: an argument has another shape.
        """
        config = self.config
        checks.image(x, config["channels"], 2 ** (len(config["multipliers"]) - 1))
        checks.number(c_noise, x)
        e = self.embed(c_noise, checks.labels(class_labels, config["classes"], x))
        again = config["checkpointing"]
        left = [self.enter(x.to(self.enter.weight.dtype))]
        for block in self.encoder:
            left.append(call(block, left[-1], e, again=again))
        h = left[-1]
        for place, block in zip(self.up, self.decoder, strict=True):
            h = torch.cat([h, left.pop()], dim=1) if place.skip else h
            h = call(block, h, e, again=again)
        return self.leave(functional.silu(self.norm(h))).to(x.dtype)
