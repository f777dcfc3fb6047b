# SPDX-License-Identifier: Apache-2.0
"""Classifier-free guidance, folded into the row: F = u + w (c − u), so that w = 1 is off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.condition import entries

__all__ = ["Guidance"]


@dataclass(frozen=True)
class Guidance:
    """``F = F_u + w (F_c − F_u)`` at the levels of an interval, F_c elsewhere.

    Ho & Salimans 2022 (arXiv 2207.12598), eq. 6 with its weight plus one; the interval is
    Kynkäänniemi et al. 2024 (arXiv 2404.07724).

    Args:
        weight: w, a number or a tensor [N] with one weight per sample; 1 is off.
        unconditional: keyword arguments that replace the condition in the unconditional call.
        interval: (low, high) EDM levels σ between which guidance acts.
        network: another network for F_u (autoguidance, arXiv 2406.02507), or None for the same.

    Raises:
        TypeError: ``unconditional`` is no mapping, or ``network`` is not callable.
        ValueError: a weight that is not finite, an interval that does not rise, or neither
            ``unconditional`` nor ``network``: F_u would be F_c, at the price of a second call.
    """

    weight: float | Tensor
    unconditional: Mapping[str, Any] = field(default_factory=dict)
    interval: tuple[float, float] = (0.0, float("inf"))
    network: Any = None

    def __post_init__(self) -> None:
        weight = torch.as_tensor(self.weight, dtype=torch.float64)
        if weight.ndim > 1 or not bool(torch.isfinite(weight).all()):
            raise ValueError(
                f"weight is {self.weight!r}, expected a finite number or one per sample"
            )
        low, high = self.interval
        if not 0 <= low <= high:
            raise ValueError(f"interval is {self.interval}, expected 0 <= low <= high")
        if not isinstance(self.unconditional, Mapping):
            raise TypeError(
                f"unconditional is {type(self.unconditional).__name__}, expected a dict of the "
                "network's keyword arguments, such as {'label': None}"
            )
        if self.network is not None and not callable(self.network):
            raise TypeError(f"network is {type(self.network).__name__}, expected a callable")
        if not self.unconditional and self.network is None:
            raise ValueError(
                "unconditional is empty and network is None, expected at least one of them: the "
                "unconditional call would be the conditional one and guidance without effect"
            )

    def batch(self, samples: int, start: int, stop: int) -> Guidance:
        """Return the guidance of samples start…stop of ``samples``."""
        weight = cut({"weight": self.weight}, samples, start, stop)["weight"]
        unconditional = cut(self.unconditional, samples, start, stop)
        return Guidance(weight, unconditional, self.interval, self.network)

    def weights(self, sigma: NDArray[np.float64], samples: int) -> NDArray[np.float64]:
        """Return w per network call, [n] or [n, samples]: 1 outside the interval."""
        w = torch.as_tensor(self.weight, dtype=torch.float64).cpu().numpy()
        if w.ndim and len(w) != samples:
            raise ValueError(f"weight has {len(w)} entries, expected {samples}: one per sample")
        inside = (sigma >= self.interval[0]) & (sigma <= self.interval[1])
        return np.where(inside.reshape(-1, *(1,) * w.ndim), w, 1.0)


def cut(condition: Mapping[str, Any], samples: int, start: int, stop: int) -> dict[str, Any]:
    """Cut whatever has one entry per sample to the samples start…stop, in dicts of dicts too."""

    def part(value: Any) -> Any:
        if isinstance(value, Mapping):
            return cut(value, samples, start, stop)
        return value[start:stop] if entries(value) == samples else value

    return {name: part(value) for name, value in condition.items()}
