# SPDX-License-Identifier: Apache-2.0
"""Data that is no image: vectors, sequences of actions, latents, in floating point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.data.array import as_numpy, checked_labels
from pydiffcore.data.faults import Fault
from pydiffcore.data.span import Span, Units

__all__ = ["Numbers"]


class Numbers:
    """A source of clean data in floating point, scaled to [−1, 1] feature by feature.

    Args:
        values: [N, D] vectors, [N, T, A] sequences or [N, C, H, W] latents; NumPy or torch.
        labels: whole numbers from 0 on, [N], or None.
        observations: what each sample is conditioned on, floating point [N, O], or None; scaled
            like the values. They come in the place of labels.
        where: what error messages call it.
        codec: name and scale of what encoded latents, or None.

    Attributes:
        shape: of one sample.
        classes: how many there are, 0 without labels.
        span: of the values' features.
        observed: span of the observations, or None.

    Raises:
        TypeError, ValueError: they are no such arrays, or hold a number that is not finite.
    """

    class_names: tuple[str, ...] = ()
    left_out: tuple[Fault, ...] = ()

    def __init__(
        self,
        values: Any,
        labels: Any = None,
        observations: Any = None,
        *,
        where: str = "the array",
        codec: Mapping[str, Any] | None = None,
    ) -> None:
        self.codec = codec
        self.where, self.values = where, _checked(values, (2, 3, 4), where)
        self.shape, self.span = self.values.shape[1:], Span.of(self.values)
        self.labels = self.observations = None
        if labels is not None and observations is not None:
            raise ValueError(f"{where} has labels and observations, expected one of them")
        if labels is not None:
            self.labels = checked_labels(labels, len(self.values), where)
        if observations is not None:
            self.observations = _checked(observations, (2,), f"{where}, its observations")
            if len(self.observations) != len(self.values):
                raise ValueError(f"{where} has {len(self.observations)} observations, expected "
                                 f"{len(self.values)}, one for each sample")  # fmt: skip
        self.classes = 0 if self.labels is None else int(self.labels.max()) + 1
        self.observed = None if self.observations is None else Span.of(self.observations)

    @property
    def units(self) -> Units:
        """Return the spans of values and observations."""
        return Units(self.span, self.observed)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], Any]:
        """Return a sample in its own units, and its label or observation."""
        told = self.labels if self.observations is None else self.observations
        return np.array(self.values[index]), None if told is None else told[index]

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
        """Return x0, float32 [B, *shape], and int64 labels [B], or float32 observations [B, O]."""
        places = np.asarray(indices, np.int64)
        x0 = torch.from_numpy(self.span.scaled(self.values[places]))
        if self.observed is not None and self.observations is not None:
            return x0, torch.from_numpy(self.observed.scaled(self.observations[places]))
        return x0, None if self.labels is None else torch.from_numpy(self.labels[places])


def _checked(values: Any, dimensions: tuple[int, ...], where: str) -> NDArray[Any]:
    array = as_numpy(values)
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(f"{where} is of {array.dtype}, expected float16, float32 or float64")
    if array.ndim not in dimensions or array.size == 0:
        forms = {2: "[N, D]", 3: "[N, T, A]", 4: "[N, C, H, W]"}
        raise ValueError(f"{where} has the shape {array.shape}, expected "
                         f"{' or '.join(forms[n] for n in dimensions)} with N > 0")  # fmt: skip
    for first in range(0, len(array), 4096):
        bad = ~np.isfinite(array[first : first + 4096]).reshape(-1, array[0].size).all(axis=1)
        if bad.any():
            raise ValueError(f"{where} holds a number that is not finite in sample "
                             f"{first + int(bad.argmax())}, expected finite ones")  # fmt: skip
    return array
