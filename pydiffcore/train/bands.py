# SPDX-License-Identifier: Apache-2.0
"""The mean loss of each band of noise levels, for logs: one number hides which levels learn."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pydiffcore.train.laws.core import number

__all__ = ["Bands"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Bands:
    """Levels cut at rising edges: below the first, between them, from the last on.

    Args:
        edges: K positive levels.

    Raises:
        ValueError: edges do not rise, or are not positive.
    """

    edges: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)

    def __post_init__(self) -> None:
        edges = tuple(number("edges", edge, above=0.0) for edge in self.edges)
        if any(low >= high for low, high in pairwise(edges)):
            raise ValueError(f"edges is {edges}, expected rising levels")
        object.__setattr__(self, "edges", edges)

    @property
    def names(self) -> tuple[str, ...]:
        """What to call each of the K + 1 bands, such as "0.1 <= sigma < 0.3"."""
        if not self.edges:
            return ("sigma",)
        return (
            f"sigma < {self.edges[0]:g}",
            *(f"{low:g} <= sigma < {high:g}" for low, high in pairwise(self.edges)),
            f"{self.edges[-1]:g} <= sigma",
        )

    def sums(self, sigma: ArrayLike, terms: Any) -> tuple[FloatArray, NDArray[np.int64]]:
        """Return each band's sum of losses, float64 [K + 1], and their number, int64 [K + 1].

        Sums and numbers of several ranks or steps add up; their quotient is the mean loss.

        Args:
            sigma: levels [B].
            terms: losses [B], a tensor or an array.

        Raises:
            ValueError: sigma and terms are not of one shape [B].
        """
        levels = np.asarray(sigma, np.float64)
        if isinstance(terms, Tensor):
            terms = terms.detach().double().cpu().numpy()
        values = np.asarray(terms, np.float64)
        if levels.ndim != 1 or values.shape != levels.shape:
            raise ValueError(f"terms has shape {values.shape}, expected {levels.shape}, [B]")
        band = np.searchsorted(np.array(self.edges), levels, side="right")
        size = len(self.edges) + 1
        sums = np.bincount(band, values, size).astype(np.float64)
        return sums, np.bincount(band, minlength=size).astype(np.int64)
