# SPDX-License-Identifier: Apache-2.0
"""The RefineNet of NCSN, the first score network of images, in the forms of v1 and v2.

    F = RefineNet(x, c_noise)       x and F [B, C, H, W], c_noise the index of the level, or unused

Song & Ermon 2019 (arXiv 1907.05600), appendix A: four cascaded RefineNet blocks (Lin et al. 2017)
on a residual network whose lower stages are dilated instead of shrunk, ELU, mean pooling, and
before every convolution and pooling conditional instance normalisation++:

    y_k = γ_ik (x_k − μ_k)/s_k + α_ik (μ_k − m)/v + β_ik        i the level's index, k the channel

with μ_k, s_k mean and deviation of the pixels, m, v those of the μ_k.  Song & Ermon 2020
(arXiv 2006.09011), section 3.3, drop the index ("levels = 0") and divide F by σ, which here is
the business of whoever calls the network.  A class adds γ, α and β of its own, which is what the
normalisation was made for (Dumoulin et al. 2017, arXiv 1610.07629); neither paper has classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pydiffcore.networks import checks
from pydiffcore.networks.recompute import call

__all__ = ["InstanceNormPlus", "RefineNet"]

EPS = 1e-5
Kinds = tuple[int, int]  # how many levels and how many classes the norms tell apart


class InstanceNormPlus(nn.Module):
    """Conditional instance normalisation++, unconditional without levels and classes."""

    def __init__(self, channels: int, kinds: Kinds) -> None:
        super().__init__()
        levels, classes = kinds
        spread = 1 + 0.02 * torch.randn(2, max(levels, 1), channels)
        self.scales = nn.Parameter(spread)  # γ, α
        self.shift = nn.Parameter(torch.zeros(max(levels, 1), channels))  # β
        self.label = None
        if classes:
            self.label = nn.Embedding(classes + 1, 3 * channels, padding_idx=classes)
            nn.init.zeros_(self.label.weight)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Return the shape of x [B, C, H, W], of the indices of levels and classes [2, B]."""
        B, C, H, W = x.shape
        if not B:
            return x  # which the normalisation of no channels would refuse
        mean = x.mean(dim=(2, 3), dtype=torch.promote_types(x.dtype, torch.float32))
        table = torch.cat([*self.scales, self.shift], dim=1)
        given = functional.embedding(index[0], table)
        if self.label is not None:
            given = given + self.label(index[1])
        gamma, alpha, beta = given.to(mean.dtype).chunk(3, dim=1)
        offset = torch.addcmul(beta, alpha, functional.layer_norm(mean, (C,), eps=EPS))
        # Instance normalisation whose γ and offset are each sample's own.
        y = functional.batch_norm(
            x.reshape(1, B * C, H, W), None, None, gamma.reshape(-1), offset.reshape(-1),
            training=True, eps=EPS,
        )  # fmt: skip
        return y.view(B, C, H, W)


class NormConv(nn.Module):
    """A 3×3 convolution of elu(norm(x)), or of norm(x)."""

    def __init__(
        self, inputs: int, outputs: int, kinds: Kinds, dilation: int = 1, activates: bool = True
    ) -> None:
        super().__init__()
        self.activates = activates
        self.norm = InstanceNormPlus(inputs, kinds)
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Return [B, outputs, H, W] of x [B, inputs, H, W]."""
        h = self.norm(x, index)
        return self.conv(functional.elu(h) if self.activates else h)


class Residual(nn.Module):
    """y = skip(x) + two convolutions, then the mean of 2×2 pixels where it shrinks."""

    def __init__(
        self, inputs: int, outputs: int, kinds: Kinds, dilation: int = 1, shrinks: bool = False
    ) -> None:
        super().__init__()
        self.shrinks = shrinks
        self.first = NormConv(inputs, outputs, kinds, dilation)
        self.second = NormConv(outputs, outputs, kinds, dilation)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Return [B, outputs, H, W], or half of H and W, of x [B, inputs, H, W]."""
        y = self.skip(x) + self.second(self.first(x, index), index)
        return functional.avg_pool2d(y, 2) if self.shrinks else y


class Units(nn.Module):
    """Residual convolution units: each adds two convolutions to its input."""

    def __init__(self, channels: int, count: int, kinds: Kinds) -> None:
        super().__init__()
        self.units = nn.ModuleList(Residual(channels, channels, kinds) for _ in range(count))

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Return the shape of x [B, C, H, W]."""
        for unit in self.units:
            x = unit(x, index)
        return x


class ChainedPooling(nn.Module):
    """y = elu(x) + p₁ + p₂, each p a convolution of the mean of 5×5 pixels of the one before."""

    def __init__(self, channels: int, kinds: Kinds) -> None:
        super().__init__()
        self.norms = nn.ModuleList(InstanceNormPlus(channels, kinds) for _ in range(2))
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2)
        )

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Return the shape of x [B, C, H, W]."""
        y = path = functional.elu(x)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            path = conv(functional.avg_pool2d(norm(path, index), 5, stride=1, padding=2))
            y = y + path
        return y


class Refine(nn.Module):
    """A RefineNet block: units for each input, their sum at the finer size, chained pooling."""

    def __init__(self, inputs: list[int], channels: int, kinds: Kinds, ends: bool) -> None:
        super().__init__()
        self.units = nn.ModuleList(Units(c, 2, kinds) for c in inputs)
        self.fuse = nn.ModuleList(
            NormConv(c, channels, kinds, activates=False) for c in inputs if len(inputs) > 1
        )
        self.pool = ChainedPooling(channels, kinds)
        self.out = Units(channels, 3 if ends else 1, kinds)

    def forward(self, index: Tensor, *inputs: Tensor) -> Tensor:
        """Return [B, channels, H, W] of inputs [B, c, h, w], the finest of them the first."""
        paths = [units(x, index) for units, x in zip(self.units, inputs, strict=True)]
        if len(self.fuse):
            paths = [conv(path, index) for conv, path in zip(self.fuse, paths, strict=True)]
        total, size = paths[0], paths[0].shape[2:]
        for path in paths[1:]:
            if path.shape[2:] != size:
                path = functional.interpolate(path, size, mode="bilinear", align_corners=True)
            total = total + path
        return self.out(self.pool(total, index), index)


class RefineNet(nn.Module):
    """RefineNet for images, CIFAR-10 sized.

    Args:
        channels: of the image.
        levels: number of noise levels that the norms tell apart (v1), 0 for none (v2).
        classes: of the condition, 0 for none; the label ``classes`` is no class.
        width: channels at full resolution, twice as many below.
        checkpointing: recompute the blocks in the backward pass.

    Raises:
        ValueError: a size is out of range.
    """

    def __init__(
        self,
        channels: int = 3,
        levels: int = 10,
        width: int = 128,
        classes: int = 0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        checks.at_least(1, channels=channels)
        checks.at_least(0, levels=levels, classes=classes)
        checks.at_least(2, width=width)  # one channel has no deviation
        self.config: dict[str, Any] = {
            "channels": channels, "levels": levels, "width": width, "classes": classes,
            "checkpointing": checkpointing,
        }  # fmt: skip
        kinds = (levels, classes)
        fine, wide = width, 2 * width
        self.enter = nn.Conv2d(channels, fine, 3, padding=1)
        self.stages = nn.ModuleList(
            nn.ModuleList(
                [Residual(a, b, kinds, dilation, a != b), Residual(b, b, kinds, dilation)]
            )
            for a, b, dilation in (
                (fine, fine, 1),
                (fine, wide, 1),
                (wide, wide, 2),
                (wide, wide, 4),
            )
        )
        cascade = (([wide], wide), ([wide, wide], wide), ([wide, wide], fine), ([fine, fine], fine))
        self.refine = nn.ModuleList(
            Refine(inputs, outputs, kinds, ends=i == 3)
            for i, (inputs, outputs) in enumerate(cascade)
        )
        self.leave = NormConv(fine, channels, kinds)

    def forward(self, x: Tensor, c_noise: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return F [B, C, H, W].

        Args:
            x: images [B, C, H, W], H and W even.
            c_noise: the index 0 … levels − 1 of each image's level [B], rounded where it is no
                integer; not read without levels.
            class_labels: int64 [B], or None for no class.

        Raises:
            ValueError: an argument has another shape, or an index is out of range.
        """
        checks.image(x, self.config["channels"], 2)
        label = checks.labels(class_labels, self.config["classes"], x)
        index, again = torch.stack([self._level(c_noise, x), label]), self.config["checkpointing"]
        h, left = self.enter(x.to(self.enter.weight.dtype)), []
        for stage in self.stages:
            for block in stage:  # type: ignore[attr-defined]
                h = call(block, h, index, again=again)
            left.append(h)
        h = call(self.refine[0], index, left.pop(), again=again)
        for block in self.refine[1:]:
            h = call(block, index, left.pop(), h, again=again)
        return self.leave(h, index).to(x.dtype)

    def _level(self, c_noise: Tensor, x: Tensor) -> Tensor:
        checks.number(c_noise, x)
        levels = self.config["levels"]
        if not levels:
            return torch.zeros(len(x), dtype=torch.int64, device=x.device)
        level = c_noise.round().to(torch.int64) if c_noise.is_floating_point() else c_noise.long()
        if level.device.type == "cpu" and not torch.compiler.is_compiling():
            if bool(((level < 0) | (level >= levels)).any()):
                raise ValueError(f"c_noise has an index outside 0 … {levels - 1}")
        return level
