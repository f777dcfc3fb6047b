# SPDX-License-Identifier: Apache-2.0
"""How a network is called in training: compiled, its images with their channels last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["calling", "put_channels_last"]


def put_channels_last(network: Any) -> None:
    """Lay a network's weights of four axes out as [out, H, W, in], in place."""
    network.to(memory_format=torch.channels_last)


def calling(
    model: Callable[..., Tensor], *, compiled: bool, channels_last: bool
) -> Callable[..., Tensor]:
    """Return what gives the model's output; the model itself and its weights' names stay.

    Args:
        model: F(x, c_noise, …), whose weights have their channels last already where they should.
        compiled: by ``torch.compile``.
        channels_last: whether x is laid out as [B, H, W, C] before.
    """
    called: Callable[..., Tensor] = torch.compile(model) if compiled else model
    if not channels_last:
        return called

    def laid_out(x: Tensor, *given: Any, **condition: Any) -> Tensor:
        output = called(x.contiguous(memory_format=torch.channels_last), *given, **condition)
        return output.contiguous()  # as the target is, in one order with which it is compared

    return laid_out
