# SPDX-License-Identifier: Apache-2.0
"""Checks of what runners and kernels are handed, before any address leaves Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# What a native row returns beside 0, as csrc/include/pydiffcore/capi.h has it.
NOT_FINITE, OVERLAP, NO_SUCH_ROW = 1, 2, 3


def check_tensor(name: str, tensor: Any, dtypes: tuple[torch.dtype, ...], ndim: int) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} is {type(tensor).__name__}, expected a torch.Tensor")
    if tensor.dtype not in dtypes:
        raise TypeError(
            f"{name} has dtype {tensor.dtype}, expected one of {', '.join(map(str, dtypes))}"
        )
    if tensor.device.type not in ("cpu", "cuda"):
        raise ValueError(f"{name} is on {tensor.device}, expected a CPU or a CUDA tensor")
    if tensor.ndim != ndim or not tensor.is_contiguous():
        raise ValueError(
            f"{name} has shape {tuple(tensor.shape)} and strides {tensor.stride()}, "
            f"expected {ndim} contiguous axes"
        )


def array(name: str, value: Any, shape: tuple[int, ...], dtype: Any = None) -> NDArray[Any]:
    array = np.asarray(value, dtype)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    return array


def check_counts(table: dict[str, NDArray[Any]], K: int, M: int) -> None:
    bounds = {"registers_in": (0, K), "registers_out": (1, K), "draws": (0, M)}
    for name, (low, high) in bounds.items():
        counts = table[name]
        if len(counts) == 0 or counts.min() < low or counts.max() > high:
            raise ValueError(f"{name} is {counts.tolist()}, expected numbers in [{low}, {high}]")


def check_planes(table: dict[str, NDArray[Any]], K: int) -> None:
    for name, count in (("source", "registers_in"), ("target", "registers_out")):
        planes = table[name]
        used = np.arange(K) < table[count][:, None]
        different = np.sort(np.where(used, planes, -1 - np.arange(K)), axis=1)
        twice = (np.diff(different, axis=1) == 0).any()
        if (used & ((planes < 0) | (planes >= K))).any() or planes[:, 0].any() or twice:
            raise ValueError(
                f"{name} is {planes.tolist()}, expected planes in [0, {K}), 0 first, none twice"
            )


def weights(guidance: Any, R: int, B: int) -> NDArray[np.float64] | None:
    if guidance is None:
        return None
    weights = np.asarray(guidance, np.float64)
    if weights.shape not in ((R,), (R, B)):
        raise ValueError(f"guidance has shape {weights.shape}, expected {(R,)} or {(R, B)}")
    return weights


def bounds(clip: Any) -> tuple[float, float] | None:
    if clip is None:
        return None
    low, high = map(float, clip)
    if not low <= high:
        raise ValueError(f"clip is {clip}, expected (low, high) with low <= high")
    return low, high


def overlap(a: Tensor, b: Tensor) -> bool:
    return (
        a.data_ptr() < b.data_ptr() + b.nbytes
        and b.data_ptr() < a.data_ptr() + a.nbytes
        and a.nbytes > 0
        and b.nbytes > 0
    )


def address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def sizes(shape: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in shape)
    if any(size < 0 for size in sizes):
        raise ValueError(f"shape is {tuple(shape)}, expected sizes of at least 0")
    return sizes


def choose(name: str, value: Any, allowed: Sequence[Any]) -> None:
    if value not in allowed:
        raise TypeError(f"{name} is {value}, expected one of {', '.join(map(str, allowed))}")


def checked_guidance(weights: Any, n: int, batch: int) -> NDArray[np.float64] | None:
    if weights is None:
        return None
    array = np.asarray(weights, np.float64)
    if array.shape not in ((n,), (n, batch)):
        raise ValueError(
            f"guidance has shape {array.shape}, expected ({n},) or ({n}, {batch}): one weight per "
            "network call, or one per call and sample"
        )
    if not np.isfinite(array).all():
        raise ValueError("guidance holds a weight that is not finite")
    return array


def not_finite(
    sigma: NDArray[np.float64], call: int, sample: int, seeds: Sequence[int]
) -> FloatingPointError:
    return FloatingPointError(
        f"the network returned a value that is not finite at call {call} "
        f"(sigma = {sigma[call]:.6g}), first in sample {sample} of {len(seeds)} "
        f"(seed {seeds[sample]})"
    )


def refusal(status: int, row: int, calls: int) -> Exception:
    """Return the error of a row that the kernel did not run."""
    if status == OVERLAP:
        return ValueError("F overlaps the runner's own tensors in part; return a new tensor")
    if status == NO_SUCH_ROW:
        return RuntimeError(
            f"row {row} of a plan with {calls} network calls: "
            "call start() before the first advance() and after the last"
        )
    return RuntimeError(f"the native row returned the unknown status {status}")


def not_started(*arguments: int) -> int:
    """Stand for a program that is not bound yet: there is no such row."""
    return NO_SUCH_ROW


def first_bad(values: Tensor) -> int:
    """Return the first sample of a batch that holds a value that is not finite."""
    finite = torch.isfinite(values.detach()).reshape(len(values), -1).all(dim=1)
    return int((~finite).nonzero()[0])


def unchanged(state: Tensor, version: int) -> None:
    """Check that the network, and whoever runs the loop, left its input alone: it is the state."""
    if state._version != version:
        raise RuntimeError(
            "the network changed its input in place, or the code between its call and the next "
            "row did, and here the input is the state itself: give the network a copy, "
            "network(x.clone(), ...), and edit states through pydiffcore.trajectory's step.x"
        )


def all_finite(values: Tensor) -> bool:
    """Whether every value is finite: in one pass where, as nearly always, the sum is too."""
    return math.isfinite(values.sum().item()) or bool(torch.isfinite(values).all())


def operand(
    value: Any,
    name: str,
    shape: torch.Size,
    device: torch.device,
    dtype: torch.dtype | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Return a dense tensor of this shape, device and format, of this dtype where one is given."""
    if not isinstance(value, Tensor):
        wrapped = ": return its .sample" if hasattr(value, "sample") else ""  # as diffusers' are
        raise TypeError(f"{name} is {type(value).__name__}, expected a torch.Tensor{wrapped}")
    if dtype is not None and value.dtype != dtype:
        raise TypeError(f"{name} has dtype {value.dtype}, expected the io_dtype {dtype}")
    if not value.dtype.is_floating_point:
        raise TypeError(f"{name} has dtype {value.dtype}, expected a floating-point tensor")
    if value.device != device:
        raise ValueError(f"{name} is on {value.device}, expected {device}")
    if value.shape != shape:
        raise ValueError(f"{name} has shape {tuple(value.shape)}, expected {tuple(shape)}")
    return value.contiguous(memory_format=memory_format)


def outputs(F: Any, F_uncond: Any, guided: bool, *at: Any) -> tuple[Tensor, Tensor | None]:
    """Return a network's outputs as :func:`operand` does; ``at`` are its last arguments."""
    F = operand(F, "F, the network's output,", *at)
    if F_uncond is not None:
        F_uncond = operand(F_uncond, "F_uncond, its unconditional output,", *at)
        if not guided:
            raise ValueError("F_uncond was given, but the runner was made without guidance")
    return F, F_uncond


def noise_source(
    noise: Any,
    shape: tuple[int, ...],
    device: torch.device,
    dtype: torch.dtype,
    interval: NDArray[np.float64],
) -> Tensor | torch.Generator | Callable[..., Any] | None:
    """Return what a run draws from: None, a generator, a function, or a stack [draws, *shape]."""
    if noise is None or isinstance(noise, torch.Generator):
        return noise
    if callable(noise):
        if np.isnan(interval).any():
            raise ValueError(
                "noise is a function of (sigma, sigma_next), but the sampler does not say which "
                "levels its draws lie between: it calls noise() without them"
            )
        return noise
    if not isinstance(noise, Tensor):
        raise TypeError(
            f"noise is {type(noise).__name__}, expected a tensor, a torch.Generator, "
            "a function of (sigma, sigma_next) or None"
        )
    if tuple(noise.shape) != shape:
        raise ValueError(
            f"noise has shape {tuple(noise.shape)}, expected {shape}: one tensor per stream"
        )
    if not all_finite(noise):
        raise ValueError("noise holds a value that is not finite")
    return noise.to(device=device, dtype=dtype).contiguous()
