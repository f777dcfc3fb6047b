# SPDX-License-Identifier: Apache-2.0
"""A network and its averages on several ranks: a copy on each, or a part (shard.py)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pydiffcore.train.average import Average, copied, started
from pydiffcore.train.ranks import Ranks
from pydiffcore.train.shard import sharded

__all__ = ["alone", "reduced", "reducing", "spread"]


def spread(
    network: nn.Module, kinds: dict[str, Average], ranks: Ranks, shard: bool = False
) -> tuple[nn.Module, dict[str, nn.Module]]:
    """Put a network on the ranks' devices; return what to call in training, and its averages.

    Args:
        network: the same on each rank; changed in place.
        kinds: of averages, by name.
        ranks: this process among all.
        shard: leave each rank a part of every weight.

    Raises:
        ValueError: there is one process alone, and nothing to shard over.

    """
    if shard:
        # One after the other, so that no device holds a whole network, nor the host many.
        averages = {name: sharded(copied(network), ranks) for name in kinds}
        return sharded(network, ranks), averages
    network.to(ranks.device)
    averages = started(network, kinds)
    if ranks.count == 1:
        return network, averages
    places = [ranks.device] if ranks.device.type == "cuda" else None
    model = DistributedDataParallel(network, device_ids=places, broadcast_buffers=False)
    return model, averages


def reducing(model: Any, last: bool) -> AbstractContextManager[None]:
    """Return a context for a part of a batch: gradients are reduced in the last one alone."""
    if isinstance(model, DistributedDataParallel):
        return nullcontext() if last else model.no_sync()
    if hasattr(model, "set_requires_gradient_sync"):
        model.set_requires_gradient_sync(last)
    return nullcontext()


def alone(model: nn.Module, head: nn.Module | None) -> list[nn.Parameter]:
    """Return the parameters whose gradients nobody reduces: a head's, and those not sharded."""
    own = [] if head is None else list(head.parameters())
    if hasattr(model, "set_requires_gradient_sync"):
        own += [each for each in model.parameters() if not hasattr(each, "to_local")]
    return [each for each in own if each.requires_grad]


@torch.no_grad()
def reduced(parameters: list[nn.Parameter], ranks: Ranks) -> None:
    """Replace gradients by their means over the ranks, in one exchange."""
    gradients = [each.grad for each in parameters if each.grad is not None]
    if ranks.count == 1 or not gradients:
        return
    mean = ranks.mean(torch.cat([each.flatten() for each in gradients]))
    parts = mean.split([each.numel() for each in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
