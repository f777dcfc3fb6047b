# SPDX-License-Identifier: Apache-2.0
"""Timesteps drawn in proportion to how much their losses vary, with weights that undo the bias.

    p_i ∝ sqrt(E[L_i²]),         importance weight 1/(N p_i)

The weighted loss has the mean of uniform draws.  E[L_i²] is the mean of the squares of the last 10
losses of that timestep.  Until every timestep has 10, p is uniform; after, a share of 0.001 of it
stays uniform.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pydiffcore.process import Process
from pydiffcore.train.laws.core import number, stratified
from pydiffcore.train.laws.time import discrete_uniform

__all__ = ["Draw", "Resampler"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Draw:
    """Timesteps of a batch: their indices, levels and importance weights, each [k]."""

    index: NDArray[np.int64]
    sigma: FloatArray
    importance: FloatArray


class Resampler:
    """Draws of a table's levels by the second moments of their losses.

    All ranks of a training must hold the same one: ``update`` with the losses of the whole batch.

    Args:
        process: the process with the table.
        history: how many losses of each timestep are kept.
        uniform: the share of uniform draws, in (0, 1].

    Raises:
        ValueError: the process has no table, or a number is out of range.

    Source: Nichol & Dhariwal 2021 (arXiv 2102.09672), eq. 18.
    """

    def __init__(self, process: Process, history: int = 10, uniform: float = 0.001) -> None:
        levels = discrete_uniform(process).levels
        assert levels is not None
        if history < 1:
            raise ValueError(f"history is {history!r}, expected at least 1")
        if not 0 < number("uniform", uniform) <= 1:
            raise ValueError(f"uniform is {uniform!r}, expected a share in (0, 1]")
        self.levels = levels
        self.uniform = uniform
        self._losses = np.zeros((levels.size, history))
        self._seen = np.zeros(levels.size, np.int64)

    @property
    def probabilities(self) -> FloatArray:
        """The probability of each timestep, float64 [N]."""
        size, history = self._losses.shape
        if (self._seen < history).any():
            return np.full(size, 1 / size)
        root = np.sqrt(np.mean(self._losses**2, axis=1))
        total = root.sum()
        if not total > 0:
            return np.full(size, 1 / size)
        return (1 - self.uniform) * root / total + self.uniform / size

    def sample(self, seeds: Any, stream: int = 0, *, of: tuple[int, int] | None = None) -> Draw:
        """Return a timestep per seed, stratified over the whole batch; see ``Law.sample``."""
        p = self.probabilities
        u = stratified(seeds, stream, of=of)
        edges = np.cumsum(p)
        index = np.minimum(np.searchsorted(edges / edges[-1], u, side="right"), p.size - 1)
        return Draw(index, self.levels[index], 1 / (p.size * p[index]))

    def update(self, index: ArrayLike, losses: Tensor | ArrayLike) -> None:
        """Remember the losses of a batch, without their importance weights.

        Losses that are not finite are left out.

        Raises:
            ValueError: index is out of the table, or losses are of another shape.
        """
        places = np.asarray(index)
        values = losses.detach().double().cpu() if isinstance(losses, Tensor) else losses
        values = np.asarray(values, np.float64)
        if places.ndim != 1 or values.shape != places.shape:
            raise ValueError(
                f"losses has shape {values.shape}, expected that of index, {places.shape}, [B]"
            )
        if places.size and not (0 <= places.min() and places.max() < self.levels.size):
            raise ValueError(f"index is not within 0 … {self.levels.size - 1}")
        history = self._losses.shape[1]
        for i, value in zip(places, values, strict=True):
            if np.isfinite(value):
                self._losses[i, self._seen[i] % history] = value
                self._seen[i] += 1

    def state_dict(self) -> dict[str, Tensor]:
        """Return what has been seen, as tensors."""
        return {"losses": torch.tensor(self._losses), "seen": torch.tensor(self._seen)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` returned; ValueError if it is of another table."""
        losses, seen = (state[name].cpu().numpy().copy() for name in ("losses", "seen"))
        if losses.shape != self._losses.shape or seen.shape != self._seen.shape:
            raise ValueError(
                f"losses has shape {losses.shape}, expected {self._losses.shape}, [N, history]"
            )
        self._losses, self._seen = losses, seen
