# SPDX-License-Identifier: Apache-2.0
"""Kinds of averages of the weights: how far each step moves an average towards them.

average ← beta average + (1 − beta) theta            beta of a kind, at step n of B images
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from pydiffcore.train.posthoc import exponent
from pydiffcore.train.shard import local

__all__ = [
    "Average",
    "Fixed",
    "HalfLife",
    "InversePower",
    "Pairs",
    "Power",
    "copied",
    "move",
    "paired",
]

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Fixed:
    """beta = ``decay`` at every step: Ho et al. 2020 (arXiv 2006.11239) with 0.9999.

    Raises:
        ValueError: decay is outside [0, 1).

    """

    decay: float = 0.9999

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay is {self.decay}, expected a number in [0, 1)")

    def beta(self, step: int, batch: int) -> float:
        """Return beta of step 1, 2, …."""
        return self.decay


@dataclass(frozen=True)
class HalfLife:
    """beta = 2^(−B/h), h = min(``images``, ``ramp``·n·B): Karras et al. 2022, appendix F.2.

    n·B counts the batch of the step itself; a loop that leaves it out is one step behind.

    Args:
        images: half-life, in images.
        ramp: half-life as a share of the images seen, while that is shorter; 0 for none.

    Raises:
        ValueError: images is not above 0, or ramp below 0.

    """

    images: float = 500_000.0
    ramp: float = 0.05

    def __post_init__(self) -> None:
        if not self.images > 0:
            raise ValueError(f"images is {self.images}, expected a number above 0")
        if not self.ramp >= 0:
            raise ValueError(f"ramp is {self.ramp}, expected a number of at least 0")

    def beta(self, step: int, batch: int) -> float:
        """Return beta of step 1, 2, …."""
        ramped = self.ramp * step * batch
        half_life = min(self.images, ramped) if self.ramp else self.images
        return float(0.5 ** (batch / half_life))


@dataclass(frozen=True)
class InversePower:
    """beta = 1 − (1 + (n − 1)/``scale``)^(−``power``) at step n = 1, 2, …, at most ``most``.

    A warm-up without a time scale: the first step takes the weights as they are.  The form of
    k-diffusion's and diffusers' averages; power 2/3 suits runs of a million steps and more, 3/4
    shorter ones.

    Raises:
        ValueError: scale or power is not above 0, or most outside [0, 1).

    """

    power: float = 0.75
    scale: float = 1.0
    most: float = 0.9999

    def __post_init__(self) -> None:
        for name in ("power", "scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number above 0")
        if not 0 <= self.most < 1:
            raise ValueError(f"most is {self.most}, expected a number in [0, 1)")

    def beta(self, step: int, batch: int) -> float:
        """Return beta of step 1, 2, …; the first weights replace the average."""
        return min(self.most, float(1 - (1 + (step - 1) / self.scale) ** -self.power))


@dataclass(frozen=True)
class Power:
    """beta = (1 − 1/n)^(gamma + 1), whose profile t^gamma has the relative width ``width``.

    Averages of two widths, kept from time to time, give one of any width afterwards: see
    :mod:`pydiffcore.train.posthoc`.  Karras et al. 2024 (arXiv 2312.02696), section 3.1.

    Raises:
        ValueError: width is outside (0, 0.28].

    """

    width: float = 0.05

    def __post_init__(self) -> None:
        exponent(self.width)

    def beta(self, step: int, batch: int) -> float:
        """Return beta of step 1, 2, …; the first weights replace the average."""
        return float((1 - 1 / step) ** (exponent(self.width) + 1))


Average = Fixed | HalfLife | InversePower | Power


@dataclass(frozen=True)
class Pairs:
    """Tensors of an average and of its network, found once: [averages], [weights], [buffers].

    Where both are sharded, this rank's parts are asked for at every move: in some releases of torch
    the first forward pass of a network puts them into other memory.
    """

    into: Sequence[Tensor]
    of: Sequence[Tensor]
    buffers: list[tuple[Tensor, Tensor]]

    @torch.no_grad()
    def move(self, beta: float) -> None:
        """Move the average towards the network's weights, in place."""
        into, of = [local(each) for each in self.into], [local(each) for each in self.of]
        weights = [
            weight if weight.dtype == average.dtype else weight.to(average.dtype)
            for weight, average in zip(of, into, strict=True)
        ]
        if into:
            torch._foreach_lerp_(into, weights, 1 - beta)
        for kept, latest in self.buffers:
            kept.copy_(latest)


def paired(average: nn.Module, network: nn.Module) -> Pairs:
    """Return the tensors of an average and its network; of neither may one be replaced."""
    into, of = (
        [each for each in module.parameters() if each.is_floating_point()]
        for module in (average, network)
    )
    buffers = list(zip(average.buffers(), network.buffers(), strict=True))
    return Pairs(into, of, buffers)


def move(average: nn.Module, network: nn.Module, beta: float) -> None:
    """Move an average towards the network's weights, in place; buffers are taken as they are."""
    paired(average, network).move(beta)


def copied(network: Network) -> Network:
    """Return a copy of the network to average into: in evaluation mode, without gradients."""
    return copy.deepcopy(network).eval().requires_grad_(False)


def started(network: Network, kinds: dict[str, Average]) -> dict[str, Network]:
    """Return an average of each kind, all at the network's present weights."""
    return {name: copied(network) for name in kinds}
