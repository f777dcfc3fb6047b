# SPDX-License-Identifier: Apache-2.0
"""A network whose weights lie in parts on all ranks: fully sharded data parallelism (FSDP2).

Each rank keeps 1/N of every weight, cut along its first axis, and with it 1/N of the gradients, of
the moments and of the averages.  A block's weights are gathered when it is called and dropped
after it.  What is written is gathered first, so that a file knows nothing of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pydiffcore.train.ranks import Ranks

__all__ = ["blocks", "local", "placed", "sharded", "whole"]

LEAST = 0.01  # of a network's weights: a gathering costs its latency, however small the block
Network = TypeVar("Network", bound=nn.Module)


def blocks(network: nn.Module) -> list[nn.Module]:
    """Return what is gathered by itself: members of ModuleLists with LEAST of all weights or more.

    Of members in members the outer one counts; what is left belongs to the network's own group.
    """
    least = LEAST * _size(network)
    return [each for each in _members(network) if _size(each) >= least]


def _members(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(module, nn.ModuleList) and not isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from _members(child)


def _size(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def sharded(network: Network, ranks: Ranks) -> Network:
    """Leave this rank its part of each weight, on its device; return the network.

    A weight without axes cannot be cut: each rank keeps it, and its gradient is not reduced.

    Args:
        network: the same on each rank; changed in place.
        ranks: this process among all.

    Raises:
        ValueError: there is one process alone.
        ImportError: torch is older than 2.7.

    """
    if ranks.count == 1:
        raise ValueError(
            "run.shard is true, but there is one process: expected false, or several by torchrun"
        )
    if torch.__version__ < "2.7":  # before it no parameter could be left out
        raise ImportError(f"run.shard needs torch 2.7 or newer, this is {torch.__version__}")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(ranks.device.type, (ranks.count,))
    kept = {each for each in network.parameters() if each.ndim == 0}
    units: list[nn.Module] = [*blocks(network), network]
    for each in units:
        # The network's own group as well: an average that was sampled from would stay whole.
        fully_shard(each, mesh=mesh, reshard_after_forward=True, ignored_params=kept)
    for parameter in kept:
        parameter.data = parameter.data.to(ranks.device)
    return network


def local(tensor: Tensor) -> Tensor:
    """Return this rank's part of a tensor that is sharded, any other as it is."""
    part: Any = getattr(tensor, "to_local", None)  # DTensor's, whose import takes its time
    return tensor if part is None else part()


def whole(tensors: Mapping[str, Tensor], ranks: Ranks) -> dict[str, Tensor]:
    """Return tensors with all their parts; all ranks call this, and the first alone gets them.

    What is gathered lies in the host's memory, one tensor after the other.
    """
    gathered: dict[str, Tensor] = {}
    for name in sorted(tensors):  # moments that were read from a file come in any order
        tensor = tensors[name]
        full: Any = getattr(tensor, "full_tensor", None)
        made = tensor if full is None else full()
        if ranks.first:
            gathered[name] = made if full is None else made.cpu()
    return gathered


def placed(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a whole tensor as ``like`` is: this rank's part of it where that is sharded."""
    if not hasattr(like, "to_local"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    spread: Any = like
    # Each rank has read the same file: nothing has to be sent.
    return distribute_tensor(
        tensor.to(spread.device), spread.device_mesh, spread.placements, src_data_rank=None
    )
