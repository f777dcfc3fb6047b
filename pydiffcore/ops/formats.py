# SPDX-License-Identifier: Apache-2.0
"""Memory formats: in which order a network wants the elements of its input and returns those of F.

Registers and draws are in C order always, since an element's noise is a function of its index.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["channels_of", "flat"]

LAST = {torch.channels_last: 4, torch.channels_last_3d: 5}  # axes of a batch


def channels_of(memory_format: torch.memory_format, shape: Sequence[int]) -> int:
    """Return C of a batch [B, C, …] whose channels come last in memory, else 0.

    Raises:
        TypeError: it is none of contiguous_format, channels_last and channels_last_3d.
        ValueError: the batch has another number of axes than the format.

    """
    if memory_format == torch.contiguous_format:
        return 0
    axes = LAST.get(memory_format)
    if axes is None:
        raise TypeError(
            f"memory_format is {memory_format}, expected torch.contiguous_format, "
            "torch.channels_last or torch.channels_last_3d"
        )
    if len(shape) != axes:
        raise ValueError(
            f"memory_format is {memory_format}, which needs a batch of {axes} axes, but it has "
            f"shape {tuple(shape)}"
        )
    return shape[1]


def flat(tensor: Tensor) -> Tensor:
    """Return a dense batch as [B, N] in the order of its memory, without a copy."""
    if tensor.is_contiguous():
        return tensor.view(len(tensor), -1)
    return tensor.movedim(1, -1).reshape(len(tensor), -1)
