# SPDX-License-Identifier: Apache-2.0
"""Numbers as arguments: what is none is refused by the argument's name."""

import math
from numbers import Real
from typing import Any

import numpy as np

from pydiffcore.levels.core import FloatArray, bounds


def ends(sigma_min: Any, sigma_max: Any) -> tuple[float, float]:
    """Return the lowest level above 0 and the highest one, 0 < sigma_min < sigma_max."""
    low, high = _number("sigma_min", sigma_min), _number("sigma_max", sigma_max)
    return bounds("sigma_min", low, "sigma_max", high)


def positive(name: str, value: Any) -> float:
    """Return a positive finite number."""
    if not (math.isfinite(_number(name, value)) and value > 0.0):
        raise ValueError(f"{name} must be positive and finite, got {value!r}")
    return float(value)


def array(name: str, values: Any) -> FloatArray:
    """Return a list, array or tensor of numbers as a new float64 array."""
    given = [_plain(each) for each in values] if isinstance(values, list) else _plain(values)
    try:
        return np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        what = type(values).__name__
        raise TypeError(f"{name} is {what} {values!r}, expected a list of numbers") from None


def _plain(value: Any) -> Any:
    """Return the numbers of an array, or of a tensor of whatever dtype on whatever device."""
    return value.tolist() if hasattr(value, "tolist") else value


def _number(name: str, value: Any) -> float:
    try:
        return float(value if isinstance(value, Real) else value.item())
    except (AttributeError, TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} is {value!r}, expected a number") from None
