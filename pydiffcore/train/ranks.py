# SPDX-License-Identifier: Apache-2.0
"""Several processes that train one network, each on its part of every batch.

``torchrun --nproc-per-node=N`` starts N processes and tells each its rank; one process alone is
rank 0 of 1 and needs nothing.  Ranks hold consecutive samples of the global batch, and everything
that is drawn belongs to the sample, so that any number of ranks sees the same numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
from torch import Tensor, distributed

__all__ = ["Ranks", "started"]


@dataclass(frozen=True)
class Ranks:
    """One process among all: its ``rank``, their ``count``, and the ``device`` it works on."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def part(self, batch: int) -> range:
        """Return the places of the global batch, ``optimiser.batch``, that this rank holds.

        Raises:
            ValueError: the batch cannot be divided by the number of ranks.

        """
        if batch % self.count:
            raise ValueError(
                f"optimiser.batch is {batch}, expected a multiple of the {self.count} processes"
            )
        size = batch // self.count
        return range(self.rank * size, (self.rank + 1) * size)

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over ranks, in float64, the same bits on each."""
        total = values.detach().double()
        if self.count == 1:
            return total
        if self.device.type == "mps":
            total = total.cpu()
        distributed.all_reduce(total)
        return total / self.count

    def gathered(self, values: Tensor) -> Tensor:
        """Return the ranks' tensors of one size, end to end."""
        if self.count == 1:
            return values
        parts = [torch.empty_like(values) for _ in range(self.count)]
        distributed.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    def any(self, flag: bool) -> bool:
        """Return whether any rank says so, the same on each."""
        if self.count == 1:
            return flag
        return bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0)

    def wait(self) -> None:
        """Return when all ranks have come here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def started(device: str = "auto", timeout: float = 600.0) -> Iterator[Ranks]:
    """Join the processes that torchrun started, and leave them at the end.

    Args:
        device: "cpu", "cuda" or "auto"; with CUDA each local rank takes the device of its number.
        timeout: seconds after which a rank that waits for another, which died, gives up.

    Raises:
        ValueError: the device is none of the three, or is not there.

    """
    chosen = _device(device)
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Ranks(device=chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    distributed.init_process_group(
        "nccl" if chosen.type == "cuda" else "gloo", timeout=timedelta(seconds=timeout)
    )
    try:
        yield Ranks(distributed.get_rank(), count, chosen)
    finally:
        distributed.destroy_process_group()


def _device(name: str) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device is {name!r}, expected 'auto', 'cpu' or 'cuda'")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ValueError("device is 'cuda', but this torch sees no CUDA device")
    if name == "cpu" or not there:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
