# SPDX-License-Identifier: Apache-2.0
"""Levels of the coming steps, drawn together.

A sample's level is a function of its number and its place in the batch alone, so that levels of
many steps can be drawn at once, which takes little more than those of one: between two steps of a
large network all that a law needs has left the caches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pydiffcore.ops.corruption import Coefficients, coefficients_of
from pydiffcore.ops.noise import seed_keys
from pydiffcore.prediction import Prediction
from pydiffcore.train.laws.core import Law, uniform

__all__ = ["Ahead"]

DRAWN = 2**14  # levels at once, about


@dataclass(frozen=True)
class _Block:
    start: int  # number of the first sample of its first batch
    keys: NDArray[np.uint64]  # [steps, k]
    coefficients: Coefficients | None  # of steps·k levels


class Ahead:
    """Seeds and levels of parts of batches that follow one another.

    Args:
        law: of the levels, stratified over each batch; None where levels are drawn elsewhere.
        prediction: whose coefficients the levels are wanted with.
        base: added to a sample's number to make its seed.
        batch: samples of a batch on all ranks.

    """

    def __init__(self, law: Law | None, prediction: Prediction, base: int, batch: int) -> None:
        self._law, self._prediction, self._base, self._batch = law, prediction, base, batch
        self._blocks: dict[tuple[int, int], _Block] = {}  # by place in the batch, and length

    def of(self, numbers: range, start: int) -> tuple[NDArray[np.uint64], Coefficients | None]:
        """Return seeds [k] and levels with their coefficients of a part of a batch.

        Args:
            numbers: k samples that follow one another.
            start: number of the batch's first sample.

        """
        place, k = numbers.start - start, len(numbers)
        block = self._blocks.get((place, k))
        step, within = (0, 1) if block is None else divmod(start - block.start, self._batch)
        if block is None or within or not 0 <= step < len(block.keys):
            block, step = self._drawn(start, place, k), 0
            self._blocks[place, k] = block
        drawn = block.coefficients
        return block.keys[step], None if drawn is None else drawn[step * k : (step + 1) * k]

    def _drawn(self, start: int, place: int, k: int) -> _Block:
        steps = max(1, DRAWN // max(k, 1))
        first = self._base + start + place
        keys = np.concatenate([
            seed_keys(range(first + n * self._batch, first + n * self._batch + k))
            for n in range(steps)
        ])  # fmt: skip
        rows = keys.reshape(steps, k)
        if self._law is None:
            return _Block(start, rows, None)
        strata = np.tile(np.arange(place, place + k), steps)
        sigma = np.asarray(self._law.quantile((strata + uniform(keys)) / self._batch))
        return _Block(start, rows, coefficients_of(sigma, self._prediction))
