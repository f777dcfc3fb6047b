# SPDX-License-Identifier: Apache-2.0
"""A U-Net over time, for sequences of actions.

    F = UNet1d(x, c_noise, observation)        x and F [B, T, A], observation [B, O]

Chi et al. 2023 (arXiv 2303.04137), section 4 and appendix, after Janner et al. 2022
(arXiv 2205.09991): convolutions over time with group norm and Mish, and FiLM (Perez et al. 2018,
arXiv 1709.07871) by number and observation, (1 + a) h + b, between the two of each block.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pydiffcore.networks import checks
from pydiffcore.networks.embedding import sinusoids
from pydiffcore.networks.recompute import call

__all__ = ["UNet1d"]

GROUPS = 8


def convolution(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Return convolution, group norm and Mish, which keep the length."""
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2),
        nn.GroupNorm(GROUPS, outputs),
        nn.Mish(),
    )


class Block(nn.Module):
    """y = skip(x) + conv((1 + a) conv(x) + b), (a, b) = W mish(e)."""

    def __init__(self, inputs: int, outputs: int, embedding: int, kernel: int) -> None:
        super().__init__()
        self.first = convolution(inputs, outputs, kernel)
        self.film = nn.Linear(embedding, 2 * outputs)
        self.second = convolution(outputs, outputs, kernel)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv1d(inputs, outputs, 1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """Return y [B, outputs, T] of x [B, inputs, T] and e [B, embedding]."""
        a, b = self.film(functional.mish(e))[:, :, None].chunk(2, dim=1)
        return self.skip(x) + self.second(torch.addcmul(b, self.first(x), 1 + a))


class UNet1d(nn.Module):
    """U-Net for sequences of vectors.

    Args:
        actions: size of a vector.
        observations: size of the vector that the sequence is conditioned on, 0 for none.
        widths: channels at each resolution of time, multiples of 8.
        embedding: size of the vector that carries the number to every block; even.
        kernel: of the convolutions, odd.
        scale: what c_noise is multiplied by, to be in units of the paper's time steps, 0 … 100.
        checkpointing: recompute the blocks in the backward pass.

    Raises:
        ValueError: a size is out of range.
    """

    def __init__(
        self,
        actions: int = 2,
        observations: int = 0,
        widths: Sequence[int] = (256, 512, 1024),
        embedding: int = 256,
        kernel: int = 5,
        scale: float = 1.0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        checks.at_least(1, actions=actions, kernel=kernel)
        checks.not_empty(widths=widths)
        checks.at_least(0, observations=observations)
        checks.at_least(4, embedding=embedding)
        if any(width < GROUPS or width % GROUPS for width in widths):
            raise ValueError(f"widths are {tuple(widths)}, expected positive multiples of {GROUPS}")
        if kernel % 2 == 0:
            raise ValueError(f"kernel is {kernel}, expected an odd number")
        if embedding % 2:
            raise ValueError(f"embedding is {embedding}, expected an even number")
        self.config: dict[str, Any] = {
            "actions": actions, "observations": observations, "widths": list(widths),
            "embedding": embedding, "kernel": kernel, "scale": scale,
            "checkpointing": checkpointing,
        }  # fmt: skip
        self.map = nn.Sequential(
            nn.Linear(embedding, 4 * embedding), nn.Mish(), nn.Linear(4 * embedding, embedding)
        )
        self._blocks([actions, *widths], embedding + observations)
        self.last = convolution(widths[0], widths[0], kernel)
        self.leave = nn.Conv1d(widths[0], actions, 1)

    def _blocks(self, widths: list[int], embedding: int) -> None:
        def pair(inputs: int, outputs: int) -> nn.ModuleList:
            kernel = self.config["kernel"]
            return nn.ModuleList(
                [
                    Block(inputs, outputs, embedding, kernel),
                    Block(outputs, outputs, embedding, kernel),
                ]
            )

        inner = widths[1:-1]
        self.encoder = nn.ModuleList(pair(a, b) for a, b in pairwise(widths))
        self.middle = pair(widths[-1], widths[-1])
        ups = list(zip(widths[:0:-1], inner[::-1], strict=False))
        self.decoder = nn.ModuleList(pair(2 * a, b) for a, b in ups)
        self.shrink = nn.ModuleList(nn.Conv1d(c, c, 3, stride=2, padding=1) for c in inner)
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose1d(b, b, 4, stride=2, padding=1) for _, b in ups
        )

    def forward(self, x: Tensor, c_noise: Tensor, observation: Tensor | None = None) -> Tensor:
        """Return F [B, T, A].

        Args:
            x: sequences [B, T, A], T a multiple of 2 to the number of halvings.
            c_noise: a number per sequence [B].
            observation: [B, O], None where the network takes none.

        Raises:
            ValueError: an argument has another shape.
        """
        actions, multiple = self.config["actions"], 2 ** len(self.shrink)
        if x.ndim != 3 or x.shape[2] != actions or x.shape[1] % multiple:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, expected [B, T, {actions}] with T a multiple of "
                f"{multiple}"
            )
        checks.number(c_noise, x)
        checks.vectors("observation", observation, self.config["observations"], x)
        dtype = self.leave.weight.dtype
        number = self.config["scale"] * c_noise
        e = self.map(
            sinusoids(number, self.config["embedding"], endpoint=True, sine=True).to(dtype)
        )
        if observation is not None:
            e = torch.cat([e, observation.to(dtype)], dim=1)
        h, left = x.to(dtype).transpose(1, 2), []
        for i, pair in enumerate(self.encoder):
            h = self._pair(pair, h, e)
            left.append(h)
            h = self.shrink[i](h) if i < len(self.shrink) else h
        h = self._pair(self.middle, h, e)
        for pair, enlarge in zip(self.decoder, self.enlarge, strict=True):
            h = enlarge(self._pair(pair, torch.cat([h, left.pop()], dim=1), e))
        return self.leave(self.last(h)).transpose(1, 2).to(x.dtype)

    def _pair(self, pair: nn.Module, h: Tensor, e: Tensor) -> Tensor:
        for block in pair:  # type: ignore[attr-defined]
            h = call(block, h, e, again=self.config["checkpointing"])
        return h
