# SPDX-License-Identifier: Apache-2.0
"""Exponential moving average of weights: what is sampled from, while the last weights are trained.

    ema ← beta ema + (1 − beta) theta,        beta = 2^(−1/h),  h = min(half_life, ramp·step)

The half-life h counts steps and grows with them, so that the random initial weights are soon
forgotten.  Source: Karras et al. 2022 (arXiv 2206.00364), appendix F.2 (its ramp of 5 %).
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

__all__ = ["ema_copy", "ema_update"]


Network = TypeVar("Network", bound=nn.Module)


def ema_copy(network: Network) -> Network:
    """Return a copy of the network to average into: in evaluation mode, without gradients."""
    return copy.deepcopy(network).eval().requires_grad_(False)


@torch.no_grad()
def ema_update(
    ema: nn.Module, network: nn.Module, step: int, *, half_life: float, ramp: float = 0.05
) -> None:
    """Move the average towards the network's weights, in place.

    Args:
        ema: the average, a copy of the network.
        network: the network after training step ``step``.
        step: steps done, from 1.
        half_life: steps after which a weight counts half.
        ramp: half-life as a share of the steps done, while that is shorter.

    Raises:
        ValueError: step, half_life or ramp is not positive.
    """
    if step < 1 or half_life <= 0 or ramp <= 0:
        raise ValueError(
            f"step, half_life, ramp are {step}, {half_life}, {ramp}, expected positive numbers"
        )
    beta = 0.5 ** (1 / min(half_life, ramp * step))
    for average, current in zip(ema.parameters(), network.parameters(), strict=True):
        average.lerp_(current, 1 - beta)
    for kept, latest in zip(ema.buffers(), network.buffers(), strict=True):
        kept.copy_(latest)
