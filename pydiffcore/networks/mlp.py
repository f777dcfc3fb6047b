# SPDX-License-Identifier: Apache-2.0
"""A residual multilayer perceptron for vectors.

    F = MLP(x, c_noise, class_labels)        x and F [B, D]; F and v [B, 2D] with learned_variance

    h ← h + W silu(V ((1 + a) norm(h) + b)),  (a, b) = U e

with e made of random Fourier features of the number (Tancik et al. 2020, arXiv 2006.10739) and of
the class; the residual form with scale and shift is that of the U-Nets, W zero at the start.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pydiffcore.networks import checks
from pydiffcore.networks.attention import zeroed
from pydiffcore.networks.embedding import Fourier, Label
from pydiffcore.networks.recompute import call

__all__ = ["MLP"]

FREQUENCIES = 64


class Block(nn.Module):
    """h + W silu(V ((1 + a) norm(h) + b)), (a, b) = U e."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.enter = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)
        self.leave = zeroed(nn.Linear(width, width))

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        """Return the shape of h [B, width], of e [B, width]."""
        a, b = self.modulation(e).chunk(2, dim=1)
        inner = self.enter(torch.addcmul(b, self.norm(h), 1 + a))
        return h + self.leave(self.drop(functional.silu(inner)))


class MLP(nn.Module):
    """Perceptron for vectors.

    Args:
        features: size of a vector.
        classes: number of classes, 0 for none; the label ``classes`` stands for "no class".
        width: of the hidden layers, at least 2.
        depth: number of residual blocks.
        bandwidth: standard deviation of the Fourier features' frequencies, about 1 over that of
            c_noise: far above, neighbouring levels have nothing in common.
        dropout: inside the blocks, in training only.
        learned_variance: leave 2D numbers, F and then a variance's interpolation.
        checkpointing: recompute the blocks in the backward pass.

    Raises:
        ValueError: a size is out of range.
    """

    def __init__(
        self,
        features: int = 2,
        classes: int = 0,
        width: int = 256,
        depth: int = 4,
        bandwidth: float = 1.0,
        dropout: float = 0.0,
        learned_variance: bool = False,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        checks.at_least(1, features=features, depth=depth)
        checks.at_least(0, classes=classes, bandwidth=bandwidth)
        checks.at_least(2, width=width)  # layer norm of one number is 0
        self.config: dict[str, Any] = {
            "features": features, "classes": classes, "width": width, "depth": depth,
            "bandwidth": bandwidth, "dropout": dropout, "learned_variance": learned_variance,
            "checkpointing": checkpointing,
        }  # fmt: skip
        self.fourier = Fourier(2 * FREQUENCIES, bandwidth)
        self.number = nn.Linear(2 * FREQUENCIES, width)
        if classes:
            self.label = Label(classes, width)
        self.mix = nn.Linear(width, width)
        self.enter = nn.Linear(features, width)
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.leave = zeroed(nn.Linear(width, 2 * features if learned_variance else features))

    def embed(self, c_noise: Tensor, class_labels: Tensor) -> Tensor:
        """Return the embedding [B, width] of a number and a class per vector."""
        e = self.number(self.fourier(c_noise).to(self.number.weight.dtype))
        if self.config["classes"]:
            e = e + self.label(class_labels)
        return functional.silu(self.mix(functional.silu(e)))

    def forward(self, x: Tensor, c_noise: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return F [B, D], with v behind it [B, 2D] where the variance is learned.

        Args:
            x: vectors [B, D].
            c_noise: a number per vector [B].
            class_labels: int64 [B], ``classes`` for none; None for none at all.

        Raises:
            ValueError: an argument has another shape.
        """
        if x.ndim != 2 or x.shape[1] != self.config["features"]:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, expected [B, {self.config['features']}]"
            )
        checks.number(c_noise, x)
        e = self.embed(c_noise, checks.labels(class_labels, self.config["classes"], x))
        h = self.enter(x.to(self.enter.weight.dtype))
        for block in self.blocks:
            h = call(block, h, e, again=self.config["checkpointing"])
        return self.leave(functional.silu(self.norm(h))).to(x.dtype)
