# SPDX-License-Identifier: Apache-2.0
"""The memory of a training on one device, by what it is for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from pydiffcore.data.loader import Batch
from pydiffcore.train.shard import local
from pydiffcore.train.trainer import Trainer

__all__ = ["Footprint", "activations", "footprint"]


@dataclass(frozen=True)
class Footprint:
    """Bytes on one device.

    Attributes:
        weights: of the network and what learns beside it.
        gradients: of them.
        moments: the optimiser's two.
        averages: of all kinds.
        activations: what the forward pass keeps for the backward pass; None where it was not
            measured. What an operation needs beside that is not counted.
    """

    weights: int
    gradients: int
    moments: int
    averages: int
    activations: int | None = None

    def text(self) -> str:
        """Return each in MiB, and their sum."""
        known = {name: size for name, size in asdict(self).items() if size is not None}
        parts = ", ".join(f"{name} {size / 2**20:.3g}" for name, size in known.items())
        return f"{sum(known.values()) / 2**20:.0f} MiB: {parts}"


def footprint(trainer: Trainer, batch: Batch | None = None) -> Footprint:
    """Return the memory of a training.

    Args:
        trainer: between two steps.
        batch: this rank's part of one, whose activations are measured; all ranks do it together.
    """
    heads = [] if trainer.head is None else [trainer.head]
    modules = [trainer.network, *heads]
    learned = _bytes(p for each in modules for p in each.parameters() if p.requires_grad)
    averages = sum(_held(each) for each in trainer.averages.values())
    kept = None if batch is None else activations(trainer, batch)
    return Footprint(sum(map(_held, modules)), learned, 2 * learned, averages, kept)


def activations(trainer: Trainer, batch: Batch) -> int:
    """Return the bytes that the graph of one part of a batch keeps.

    One sample and two are worked through, forwards and backwards; what the second adds, every other
    one adds as well.

    Args:
        trainer: whose gradients are None afterwards.
        batch: this rank's part of one.
    """
    size = len(batch.images) // trainer.config.optimiser.accumulate
    few = [_kept(trainer, batch, count) for count in range(1, min(size, 2) + 1)]
    return few[0] + (size - 1) * (few[-1] - few[0]) if size > 1 else few[0]


def _kept(trainer: Trainer, batch: Batch, count: int) -> int:
    """Return the bytes of all memory that the losses of some samples hold on to."""
    modules = (trainer.network, trainer.head)
    weights = [p for each in modules if each is not None for p in each.parameters()]
    own = {local(each).untyped_storage().data_ptr() for each in weights}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = local(tensor).untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()  # the graph holds it: nobody else's
        return tensor

    trainer.network.train()
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        losses = trainer.losses(batch, 0, count)
    total = sum(sizes.values())
    losses.sum().backward()
    for each in weights:
        each.grad = None
    return total


def _held(module: Any) -> int:
    return _bytes([*module.parameters(), *module.buffers()])


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(local(each).numel() * each.element_size() for each in tensors)
