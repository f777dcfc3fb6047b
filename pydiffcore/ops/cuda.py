# SPDX-License-Identifier: Apache-2.0
"""Where a kernel runs: the device, the stream that is current on it, and copies to it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def place(device: torch.device, host_loop: tuple[int, int] | None) -> tuple[int, int, int]:
    """Return (device, blocks, threads); 0 lets the kernel choose, device −1 is the host loop."""
    return (device.index, 0, 0) if host_loop is None else (-1, *host_loop)


def stream(device: torch.device) -> int:
    """Return the handle of the stream that is current on a device; 0 on the CPU."""
    return int(torch.cuda.current_stream(device).cuda_stream) if device.type == "cuda" else 0


def guard(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which a device is current, which wakes no other device."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def upload(values: NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to a device without waiting for it."""
    tensor = torch.from_numpy(np.array(values))
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)
