# SPDX-License-Identifier: Apache-2.0
"""What the exact denoisers share: one code for NumPy arrays and torch tensors, always in float64.

torch is not imported here: a tensor's own type names the module whose functions apply to it.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

# Largest temporary array of a denoiser call, in elements (32 MiB of float64).
CHUNK = 1 << 22

# Stands for 0 in a denominator: its ratios overflow no logit below 1e300.
TINY = 1e-280


def module_of(x: Any) -> Any:
    """Return the numpy or torch module for an array x.

    Raises:
        TypeError: for anything else.

    """
    for kind in type(x).__mro__:
        root = kind.__module__.partition(".")[0]
        if root in ("numpy", "torch"):
            return sys.modules[root]
    raise TypeError(f"x must be a NumPy array or a torch tensor, got {type(x).__name__}")


def like(values: Any, x: Any) -> Any:
    """Return values as float64 where x lives."""
    xp = module_of(x)
    if xp is np:
        return np.asarray(values, dtype=np.float64)
    return xp.as_tensor(values, dtype=xp.float64, device=x.device)


class Constant:
    """A read-only float64 array with one copy on each device that asked for it.

    Copying at every call would stop a CUDA graph from being captured.
    """

    def __init__(self, values: FloatArray) -> None:
        self.values = values
        self.values.setflags(write=False)
        self._copies: dict[str, Any] = {}

    def like(self, x: Any) -> Any:
        """Return the array where x lives."""
        if module_of(x) is np:
            return self.values
        device = str(x.device)
        if device not in self._copies:
            self._copies[device] = like(self.values.copy(), x)
        return self._copies[device]


def cast(values: Any, x: Any) -> Any:
    """Return values in the dtype of x."""
    return values.astype(x.dtype) if module_of(x) is np else values.to(x.dtype)


def parameter(name: str, values: ArrayLike, *, positive: bool = False) -> FloatArray:
    """Return values as a read-only finite float64 copy; with positive=True none may be negative."""
    array = np.array(values, dtype=np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, got {values!r}")
    if positive and np.any(array < 0.0):
        raise ValueError(f"{name} must not be negative, got {values!r}")
    array.setflags(write=False)
    return array


def rows(x: Any, shape: tuple[int, ...]) -> Any:
    """Return x [B, *shape] as float64 [B, d].

    Raises:
        TypeError: if x is not a floating-point array or tensor.
        ValueError: if its trailing shape is not the data's.

    """
    xp = module_of(x)
    floating = np.issubdtype(x.dtype, np.floating) if xp is np else x.dtype.is_floating_point
    if not floating:
        raise TypeError(f"x must have a floating-point dtype, got {x.dtype}")
    if x.ndim != len(shape) + 1 or tuple(x.shape[1:]) != shape:
        raise ValueError(
            f"x must have shape [B, {', '.join(map(str, shape))}], got {tuple(x.shape)}"
        )
    return like(x, x).reshape(x.shape[0], math.prod(shape))


def column(name: str, sigma: Any, x: Any) -> Any:
    """Return sigma (number or [B]) as float64 [B, 1] where x lives.

    Raises:
        ValueError: for another shape, or a level that is NaN, infinite or negative.  Levels on
            another device than the CPU are not read: that would stall the device.

    """
    if str(getattr(sigma, "device", "cpu")) == "cpu":
        host = np.asarray(sigma, dtype=np.float64)
        if not np.all(np.isfinite(host) & (host >= 0.0)):
            raise ValueError(f"{name} must be finite and not negative, got {sigma!r}")
    xp = module_of(x)
    if xp is not np and isinstance(sigma, int | float):
        level = xp.full((1,), float(sigma), dtype=xp.float64, device=x.device)
    else:
        level = like(sigma, x).reshape(-1)
    if level.shape[0] not in (1, x.shape[0]):
        raise ValueError(
            f"{name} must be a number or have shape [{x.shape[0]}], got shape {tuple(level.shape)}"
        )
    return xp.broadcast_to(level, (x.shape[0],))[:, None]


def in_chunks(function: Callable[..., Any], width: int, *arrays: Any) -> Any:
    """Apply function to slices of the arrays along axis 0 so that width elements per row fit."""
    size = max(1, CHUNK // max(width, 1))
    total = arrays[0].shape[0]
    if total <= size:
        return function(*arrays)
    parts = [function(*(a[i : i + size] for a in arrays)) for i in range(0, total, size)]
    xp = module_of(parts[0])
    return xp.concatenate(parts)


def softmax(logits: Any) -> Any:
    """Return exp(logits) normalised along the last axis, stable for any finite logits."""
    xp = module_of(logits)
    weights = xp.exp(logits - xp.amax(logits, -1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def log_sum_exp(logits: Any) -> Any:
    """Return log sum exp(logits) along the last axis, stable for any finite logits."""
    xp = module_of(logits)
    top = xp.amax(logits, -1, keepdims=True)
    return (top + xp.log(xp.exp(logits - top).sum(-1, keepdims=True)))[..., 0]
