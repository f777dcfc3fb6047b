# SPDX-License-Identifier: Apache-2.0
"""What a network draws itself, as its dropout: from a seed of the step's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["seeded"]


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators, and give the processor's back as it was.

    torch.manual_seed also notes the seed, with a stack trace, for devices that are not in use: that
    costs more than a small network's layer, and is left out where the device is the processor.
    """
    if device.type != "cpu":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
        return
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
