# SPDX-License-Identifier: Apache-2.0
"""The energy distance of two sets of samples, 0 between sets of one law alone."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["FloatArray", "energy"]

FloatArray = NDArray[np.float64]


def energy(x: FloatArray, y: FloatArray) -> float:
    """Return 2 E|x − y| − E|x − x'| − E|y − y'|, unbiased.  Székely & Rizzo 2013, eq. 5."""

    def mean(a: FloatArray, b: FloatArray, pairs: int) -> float:
        return float(torch.cdist(torch.from_numpy(a), torch.from_numpy(b)).sum()) / pairs

    n, m = len(x), len(y)
    return 2 * mean(x, y, n * m) - mean(x, x, n * (n - 1)) - mean(y, y, m * (m - 1))
