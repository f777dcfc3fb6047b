# SPDX-License-Identifier: Apache-2.0
"""Memory of large tensors on the CPU that is given out again once the tensors are dropped.

torch hands a dropped tensor's memory back to the C library, and that often to the system; the pages
of the next one then come anew and empty, which costs more than to write noise into them.  Here a
block is kept, and given out again when nothing refers to it: no tensor, no view, no graph.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from threading import local

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["empty"]

SMALLEST, LARGEST = 2**16, 2**25  # bytes; smaller ones the C library keeps itself
KEPT = 2**27  # bytes of a thread's blocks together, in use or not
ALIGNED = 64

Block = NDArray[np.uint8]
_held = [np.empty(0)]
UNUSED = sys.getrefcount(_held[0])  # what it says of an object that a list alone holds


class Pool(local):
    """The blocks of each thread, in the order in which they were last taken."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.bytes = 0

    def take(self, size: int) -> Block:
        """Return a block that nothing refers to, or a new one."""
        for place in range(len(self.blocks) - 1, -1, -1):  # the last is the likeliest in a cache
            if sys.getrefcount(self.blocks[place]) == UNUSED and self.blocks[place].size == size:
                self.blocks.append(self.blocks.pop(place))
                return self.blocks[-1]
        self.blocks.append(_made(size))
        self.bytes += size
        while self.bytes > KEPT:
            self.bytes -= self.blocks.pop(0).size
        return self.blocks[-1]


def _made(size: int) -> Block:
    whole = np.empty(size + ALIGNED, np.uint8)
    first = -whole.ctypes.data % ALIGNED
    return whole[first : first + size]


POOL = Pool()


def empty(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return an empty tensor; a large one on the CPU is a block, whose storage has a fixed size."""
    size = torch.Size(shape).numel() * dtype.itemsize
    if not SMALLEST <= size <= LARGEST or device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.frombuffer(POOL.take(size), dtype=dtype).view(shape)
