# SPDX-License-Identifier: Apache-2.0
"""DiT, the diffusion transformer with adaLN-Zero.

    F = DiT(x, c_noise, class_labels)       x [B, C, H, W] → F [B, C, H, W], or 2C with a variance

Peebles & Xie 2023 (arXiv 2212.09748), section 3 and table 1: patches are tokens with sin-cos
positions; each block's norms are scaled, shifted and gated by the number and the class:

    h ← h + g₁ attend((1 + a₁) norm(h) + b₁);   h ← h + g₂ mlp((1 + a₂) norm(h) + b₂)

with (a, b, g) = W silu(e) and W zero at the start.  The defaults are DiT-XL/2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pydiffcore.networks import checks
from pydiffcore.networks.attention import attend, zeroed
from pydiffcore.networks.embedding import sinusoids
from pydiffcore.networks.recompute import call

__all__ = ["DiT"]

FREQUENCIES = 256


class Block(nn.Module):
    """Attention and a two-layer perceptron, each adaLN-Zero."""

    def __init__(self, width: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = zeroed(nn.Linear(width, 6 * width))
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, int(ratio * width)), nn.GELU(approximate="tanh"),
            nn.Linear(int(ratio * width), width),
        )  # fmt: skip

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        """Return the shape of h [B, N, width], of silu(e) [B, width]."""
        a1, b1, g1, a2, b2, g2 = self.modulation(e)[:, None].chunk(6, dim=2)
        tokens = torch.addcmul(b1, self.norm(h), 1 + a1)
        h = h + g1 * self.out(attend(self.qkv(tokens), self.heads))
        return h + g2 * self.mlp(torch.addcmul(b2, self.norm(h), 1 + a2))


class DiT(nn.Module):
    """Transformer over the patches of an image or latent.

    Args:
        channels: of the image.
        classes: number of classes, 0 for none; the label ``classes`` stands for "no class".
        patch: height and width of a patch.
        width: of a token, a multiple of 4 and of heads.
        depth: number of blocks.
        heads: of the attention.
        ratio: hidden width of the perceptrons over width.
        learned_variance: leave 2C channels, F and then a variance's interpolation.
        checkpointing: recompute the blocks in the backward pass.

    Raises:
        ValueError: a size is out of range.
    """

    def __init__(
        self,
        channels: int = 4,
        classes: int = 1000,
        patch: int = 2,
        width: int = 1152,
        depth: int = 28,
        heads: int = 16,
        ratio: float = 4.0,
        learned_variance: bool = False,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        checks.at_least(1, channels=channels, patch=patch, width=width, depth=depth, heads=heads)
        checks.at_least(0, classes=classes)
        if width % 4 or width % heads:
            raise ValueError(f"width is {width}, expected a multiple of 4 and of heads, {heads}")
        self.config: dict[str, Any] = {
            "channels": channels, "classes": classes, "patch": patch, "width": width,
            "depth": depth, "heads": heads, "ratio": ratio,
            "learned_variance": learned_variance, "checkpointing": checkpointing,
        }  # fmt: skip
        self.outputs = 2 * channels if learned_variance else channels
        self.enter = nn.Conv2d(channels, width, patch, stride=patch)
        self.map = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        if classes:
            self.label = nn.Embedding(classes + 1, width)
        self.blocks = nn.ModuleList(Block(width, heads, ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Linear(width, 2 * width)
        self.leave = nn.Linear(width, patch**2 * self.outputs)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight.flatten(1))
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        for layer in self.map:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
        if self.config["classes"]:
            nn.init.normal_(self.label.weight, std=0.02)
        for block in self.blocks:
            zeroed(block.modulation)  # type: ignore[arg-type]
        zeroed(self.modulation)
        zeroed(self.leave)

    def positions(self, height: int, width: int, device: torch.device) -> Tensor:
        """Return [height·width, width of a token]: half of it tells the column, half the row."""
        half = self.config["width"] // 2
        column = sinusoids(torch.arange(width, device=device), half, sine=True)
        row = sinusoids(torch.arange(height, device=device), half, sine=True)
        grid = [column.expand(height, -1, -1), row[:, None].expand(-1, width, -1)]
        return torch.cat(grid, dim=2).flatten(0, 1)

    def embed(self, c_noise: Tensor, class_labels: Tensor) -> Tensor:
        """Return silu of the embedding [B, width] of a number and a class per image."""
        e = self.map(sinusoids(c_noise, FREQUENCIES).to(self.enter.weight.dtype))
        if self.config["classes"]:
            e = e + self.label(class_labels)
        return functional.silu(e)

    def forward(self, x: Tensor, c_noise: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return F [B, C, H, W], or [B, 2C, H, W] with a learned variance.

        Args:
            x: images [B, C, H, W], H and W multiples of the patch.
            c_noise: a number per image [B]; in units of the paper's time steps, 0 … 1000.
            class_labels: int64 [B], ``classes`` for none, which has a learned vector as the
                classes have; None for none at all.

        Raises:
            ValueError: an argument has another shape.
        """
        config, p = self.config, self.config["patch"]
        checks.image(x, config["channels"], p)
        checks.number(c_noise, x)
        e = self.embed(c_noise, checks.labels(class_labels, config["classes"], x))
        tokens = self.enter(x.to(self.enter.weight.dtype))
        B, _, H, W = tokens.shape
        h = tokens.flatten(2).transpose(1, 2)
        h = h + self.positions(H, W, x.device).to(h.dtype)
        for block in self.blocks:
            h = call(block, h, e, again=config["checkpointing"])
        a, b = self.modulation(e)[:, None].chunk(2, dim=2)
        h = self.leave(torch.addcmul(b, self.norm(h), 1 + a))  # [B, HW, p p C]
        h = h.view(B, H, W, p, p, self.outputs).permute(0, 5, 1, 3, 2, 4)
        return h.reshape(B, self.outputs, H * p, W * p).to(x.dtype)
