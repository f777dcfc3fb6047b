# SPDX-License-Identifier: Apache-2.0
"""A run that waits in a copy of its scheduler."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pydiffcore.adapters.diffusers.recipe import Recipe

__all__ = ["Paused"]


@dataclass(frozen=True)
class Paused:
    """What a run is resumed from, as often as one likes: nothing writes to its planes.

    Attributes:
        recipe: of the run; None in what was pickled, for recipes are made of functions.
        planes: [registers, B, ...] of the state.
        io_dtype, seeds, row, key, first: the run's own.

    """

    recipe: Recipe | None
    planes: Tensor
    io_dtype: torch.dtype
    seeds: list[int] | None
    row: int
    key: tuple[Any, ...]
    first: int

    def __deepcopy__(self, memo: Any) -> Paused:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return vars(replace(self, recipe=None, planes=self.planes.detach()))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
