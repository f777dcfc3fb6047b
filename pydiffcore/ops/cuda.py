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
    return _pinned(values, device).to(device, non_blocking=True)


def write(values: NDArray[Any], target: Tensor) -> None:
    """Copy an array over a tensor of its shape and dtype, without a wait or an allocation there."""
    target.copy_(_pinned(values, target.device), non_blocking=True)


def fetch(*tensors: Tensor) -> list[Tensor]:
    """Return copies of tensors of one device on the CPU, after one wait for all of them."""
    if tensors[0].device.type != "cuda":
        return [tensor.cpu() for tensor in tensors]
    copies = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) for tensor in tensors]
    for copy, tensor in zip(copies, tensors, strict=True):
        copy.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensors[0].device).synchronize()
    return copies


def _pinned(values: NDArray[Any], device: torch.device) -> Tensor:
    """Return a copy of an array on the CPU, from where a device reads without the processor."""
    tensor = torch.from_numpy(np.array(values))
    return tensor.pin_memory() if device.type == "cuda" else tensor
