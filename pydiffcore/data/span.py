# SPDX-License-Identifier: Apache-2.0
"""The range of every feature of data in floating point, and the way to [−1, 1] and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Span", "Units"]


@dataclass(frozen=True)
class Span:
    """Lowest and highest value of every feature.

        x0 = 2 (data − low)/(high − low) − 1,   data = low + (x0 + 1)/2 · (high − low)

    A feature that never changes is x0 = 0. Features lie along the last axis of vectors [N, D] and
    sequences [N, T, A], along the channels of [N, C, H, W].

    Attributes:
        low, high: one number per feature, in the data's own units.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, values: NDArray[Any]) -> Span:
        """Return the span of values [N, *]."""
        axes = (0, 2, 3) if values.ndim == 4 else tuple(range(values.ndim - 1))
        low, high = values.min(axis=axes), values.max(axis=axes)
        return cls(tuple(map(float, low)), tuple(map(float, high)))

    def scaled(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return values [N, *] as x0, worked out in float64."""
        low, high = (self._along(np.array(each), values.ndim) for each in (self.low, self.high))
        width = np.where(high > low, high - low, 1.0)
        return np.where(high > low, 2 * (values - low) / width - 1, 0.0).astype(np.float32)

    def restored(self, x0: Tensor) -> Tensor:
        """Return x0 [N, *] in the data's own units; gradients pass."""
        low, high = (
            x0.new_tensor(self._along(np.array(each), x0.ndim)) for each in (self.low, self.high)
        )
        return low + (x0 + 1) / 2 * (high - low)

    @staticmethod
    def _along(features: NDArray[np.float64], ndim: int) -> NDArray[np.float64]:
        return features[:, None, None] if ndim == 4 else features


@dataclass(frozen=True)
class Units:
    """The units of data in floating point: the span of its values, and of its observations."""

    span: Span
    observed: Span | None = None
