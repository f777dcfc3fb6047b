# SPDX-License-Identifier: Apache-2.0
"""Noise of a step, drawn with torch as diffusers does, or seeds for rows that make their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["drawn", "seeds_of"]

WORD = 1 << 64


def drawn(
    F: Tensor, options: Mapping[str, Any], count: int, dtype: torch.dtype | None = None
) -> Tensor:
    """Return unit normals [count, *F.shape], from the same generators in the same order.

    Args:
        F: the network's output, whose shape and device they have, and dtype unless one is given.
        options: of the step: ``variance_noise`` hands them in; ``generator`` is None, one, or a
            list with one per sample.
        count: number of draws.
        dtype: to draw in.

    """
    given, generator = options.get("variance_noise"), options.get("generator")
    if given is not None:
        return given[None].to(F.device)
    at: dict[str, Any] = {"generator": generator, "device": F.device, "dtype": dtype or F.dtype}
    if count == 1 and generator is None:
        return torch.randn((1, *F.shape), **at)
    from diffusers.utils.torch_utils import randn_tensor

    if count == 1:
        return randn_tensor(F.shape, **at)[None]
    return torch.stack([randn_tensor(F.shape, **at) for _ in range(count)])


def seeds_of(generator: Any, batch: int) -> list[int]:
    """Return one seed per sample: those of a list's generators, or one generator's and the next.

    Without a generator they come from torch's own.

    Raises:
        ValueError: a list of another length than the batch.

    """
    if generator is None:
        first = int(torch.randint(0, 2**62, ()).item())
        return [(first + b) % WORD for b in range(batch)]
    if isinstance(generator, torch.Generator):
        return [(generator.initial_seed() + b) % WORD for b in range(batch)]
    if len(generator) != batch:
        raise ValueError(f"generator has {len(generator)} generators, the batch {batch} samples")
    return [g.initial_seed() % WORD for g in generator]
