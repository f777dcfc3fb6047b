# SPDX-License-Identifier: Apache-2.0
"""DDPM++ and NCSN++, the U-Nets of the score-SDE paper.

    F = ScoreSDE(x, c_noise, class_labels)        x and F [B, C, H, W]

Song et al. 2021 (arXiv 2011.13456), appendix H: residual blocks whose sums are divided by √2,
one head of attention at 16×16, and for NCSN++ Fourier features of the number, the FIR filter
[1, 3, 3, 1], and the image itself at each resolution added to the encoder ("residual").  Of the
paper's other progressive architectures, "skip" of the input adds 1×1 convolutions of the shrunk
image, "skip" of the output sums images of all resolutions, and "residual" of it carries features
from one resolution to the next.  The defaults are the networks
of Karras et al. 2022 (arXiv 2206.00364), table 7, for CIFAR-10.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pydiffcore.networks import checks, layout
from pydiffcore.networks.attention import Attention, group_norm, zeroed
from pydiffcore.networks.block import Block, Kind, Shifted
from pydiffcore.networks.embedding import Fourier, Label, sinusoids
from pydiffcore.networks.recompute import call
from pydiffcore.networks.resample import BOX, FIR, Resample

__all__ = ["DDPMpp", "NCSNpp", "ScoreSDE"]

HALF = math.sqrt(0.5)
EPS = 1e-6
FOURIER_SCALE = 16.0
INPUTS = OUTPUTS = ("none", "skip", "residual")


class Shrink(nn.Module):
    """The image, filtered, by a 3×3 convolution with stride 2."""

    def __init__(self, inputs: int, outputs: int, taps: Sequence[float]) -> None:
        super().__init__()
        self.filter = Resample(0, taps)
        self.margin = len(taps) // 2
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, outputs, H/2, W/2] of x [B, inputs, H, W]."""
        return self.conv(self.filter.blur(x, self.margin))


class Grow(nn.Module):
    """Features, doubled and filtered, by a 3×3 convolution."""

    def __init__(self, inputs: int, outputs: int, taps: Sequence[float]) -> None:
        super().__init__()
        self.filter = Resample(1, taps)
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        """Return [B, outputs, 2H, 2W] of h [B, inputs, H, W]."""
        return self.conv(self.filter(h))


class Leave(nn.Module):
    """conv(silu(norm(h)))."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = group_norm(inputs, EPS)
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        """Return [B, outputs, H, W] of h [B, inputs, H, W]."""
        return self.conv(functional.silu(self.norm(h)))


class ScoreSDE(nn.Module):
    """The family; ``DDPMpp`` and ``NCSNpp`` are its two well-known members.

    Args:
        channels: of the image.
        classes: number of classes, 0 for none; the label ``classes`` stands for "no class".
        size: height and width that ``attention`` speaks of; other sizes are taken too.
        width: channels that the multipliers multiply.
        multipliers: one per resolution.
        blocks: residual blocks per resolution.
        attention: resolutions with attention.
        dropout: inside the blocks, in training only.
        augmentation: size of a vector that says how the image was augmented, 0 for none.
        embedding: "positional" or "fourier" features of the number.
        taps: of the resampling filter.
        progressive_input: "none"; "skip" or "residual": the encoder reads the shrunk image, at each
            resolution alone, or as it was worked into the resolution before.
        progressive_output: "none"; "skip": F is a sum over the resolutions; "residual": what is
            summed are features, of which the last make F.
        checkpointing: recompute the blocks in the backward pass.

    Raises:
        ValueError: a size is out of range, or a word unknown.
    """

    def __init__(
        self,
        channels: int = 3,
        classes: int = 0,
        size: int = 32,
        width: int = 128,
        multipliers: Sequence[int] = (2, 2, 2),
        blocks: int = 4,
        attention: Sequence[int] = (16,),
        dropout: float = 0.13,
        augmentation: int = 0,
        embedding: str = "positional",
        taps: Sequence[float] = BOX,
        progressive_input: str = "none",
        progressive_output: str = "none",
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        checks.at_least(1, channels=channels, blocks=blocks)
        checks.not_empty(multipliers=multipliers)
        checks.at_least(0, classes=classes, augmentation=augmentation)
        checks.at_least(4, width=width)
        checks.one_of("embedding", embedding, ("positional", "fourier"))
        checks.one_of("progressive_input", progressive_input, INPUTS)
        checks.one_of("progressive_output", progressive_output, OUTPUTS)
        self.config: dict[str, Any] = {
            "channels": channels, "classes": classes, "size": size, "width": width,
            "multipliers": list(multipliers), "blocks": blocks, "attention": list(attention),
            "dropout": dropout, "augmentation": augmentation, "embedding": embedding,
            "taps": list(taps), "progressive_input": progressive_input,
            "progressive_output": progressive_output, "checkpointing": checkpointing,
        }  # fmt: skip
        self.features = (2 if embedding == "fourier" else 1) * width
        self._conditions(4 * width)
        kind = Kind(4 * width, Shifted, dropout, taps, HALF, projects=True, eps=EPS)
        attended = layout.attended_levels(size, len(multipliers), attention)
        widths = [width * m for m in multipliers]
        self.down = layout.encoder(width, widths, blocks, attended)
        self.up = layout.decoder(width, widths, blocks, attended, every_block_attends=False)
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.encoder = nn.ModuleList(Block(place, kind) for place in self.down)
        self.decoder = nn.ModuleList(Block(place, kind) for place in self.up)
        self._progressive(channels, widths, taps)
        self._initialise()

    def _conditions(self, embedding: int) -> None:
        config = self.config
        if config["embedding"] == "fourier":
            self.fourier = Fourier(self.features, FOURIER_SCALE)
        if config["classes"]:
            self.label = Label(config["classes"], self.features)
        if config["augmentation"]:
            self.augmentation = nn.Linear(config["augmentation"], self.features, bias=False)
        self.map = nn.Sequential(
            nn.Linear(self.features, embedding), nn.SiLU(),
            nn.Linear(embedding, embedding), nn.SiLU(),
        )  # fmt: skip

    def _progressive(self, channels: int, widths: list[int], taps: Sequence[float]) -> None:
        shrinking = [place.outputs for place in self.down if place.resample]
        kind = self.config["progressive_input"]
        self.reduce = Resample(-1, taps)
        self.join = nn.ModuleList(nn.Conv2d(channels, w, 1) for w in shrinking if kind == "skip")
        self.shrink = nn.ModuleList(
            Shrink(inputs, outputs, taps)
            for inputs, outputs in zip([channels, *shrinking], shrinking, strict=False)
            if kind == "residual"
        )
        kind = self.config["progressive_output"]
        self.enlarge = Resample(1, taps)
        self.leave = nn.ModuleList(
            Leave(w, channels) for w in (widths if kind == "skip" else widths[:1])
        )
        carried = len(widths) > 1 and kind == "residual"
        self.first = nn.ModuleList([Leave(widths[-1], widths[-1])] if carried else [])
        self.grow = nn.ModuleList(
            Grow(inputs, outputs, taps) for outputs, inputs in pairwise(widths) if carried
        )

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Block):
                zeroed(module.conv_out)
            elif isinstance(module, Attention):
                zeroed(module.out)
        for module in self.leave:
            if isinstance(module, Leave):
                zeroed(module.conv)

    def embed(
        self, c_noise: Tensor, class_labels: Tensor, augmentation_labels: Tensor | None = None
    ) -> Tensor:
        """Return the embedding [B, 4·width] of a number, a class and an augmentation per image."""
        if self.config["embedding"] == "fourier":
            e = self.fourier(c_noise)
        else:
            e = sinusoids(c_noise, self.features, endpoint=True, sine=True)
        e = e.to(self.enter.weight.dtype)
        if self.config["classes"]:
            e = e + self.label(class_labels)
        if augmentation_labels is not None:
            e = e + self.augmentation(augmentation_labels.to(e.dtype))
        return self.map(e)

    def forward(
        self,
        x: Tensor,
        c_noise: Tensor,
        class_labels: Tensor | None = None,
        augmentation_labels: Tensor | None = None,
    ) -> Tensor:
        """Return F [B, C, H, W].

        Args:
            x: images [B, C, H, W], H and W multiples of 2 to the number of halvings.
            c_noise: a number per image [B].
            class_labels: int64 [B], ``classes`` for none; None for none at all.
            augmentation_labels: [B, augmentation], None for no augmentation.

        Raises:
            ValueError: an argument has another shape.
        """
        config = self.config
        checks.image(x, config["channels"], 2 ** (len(config["multipliers"]) - 1))
        checks.number(c_noise, x)
        class_labels = checks.labels(class_labels, config["classes"], x)
        if augmentation_labels is not None:
            checks.vectors("augmentation_labels", augmentation_labels, config["augmentation"], x)
        e = self.embed(c_noise, class_labels, augmentation_labels)
        return self._decode(self._encode(x.to(self.enter.weight.dtype), e), e).to(x.dtype)

    def _encode(self, x: Tensor, e: Tensor) -> list[Tensor]:
        again, image = self.config["checkpointing"], x
        left = [self.enter(x)]
        for place, block in zip(self.down, self.encoder, strict=True):
            h = call(block, left[-1], e, again=again)
            if place.resample and len(self.shrink):
                h = image = (h + self.shrink[place.level - 1](image)) * HALF
            if place.resample and len(self.join):
                image = self.reduce(image)
                h = h + self.join[place.level - 1](image)
            left.append(h)
        return left

    def _decode(self, left: list[Tensor], e: Tensor) -> Tensor:
        again, h = self.config["checkpointing"], left[-1]
        F = carried = None
        blocks = list(zip(self.up, self.decoder, strict=True))
        for i, (place, block) in enumerate(blocks):
            h = torch.cat([h, left.pop()], dim=1) if place.skip else h
            h = call(block, h, e, again=again)
            ends_level = i + 1 == len(blocks) or blocks[i + 1][0].resample == 1
            if ends_level and len(self.grow):
                if carried is None:
                    carried = self.first[0](h)
                else:
                    h = carried = (self.grow[place.level](carried) + h) * HALF
            if ends_level and place.level < len(self.leave):
                F = self.leave[place.level](h) + (0 if F is None else self.enlarge(F))
        assert F is not None
        return F


class DDPMpp(ScoreSDE):
    """DDPM++: positional features, means of 2×2 pixels; 55.7 M parameters as it is."""


class NCSNpp(ScoreSDE):
    """NCSN++: Fourier features, the FIR filter, residual input; 56.4 M parameters as it is."""

    def __init__(self, channels: int = 3, **arguments: Any) -> None:
        own = {"embedding": "fourier", "taps": FIR, "progressive_input": "residual"}
        super().__init__(channels, **(own | arguments))
