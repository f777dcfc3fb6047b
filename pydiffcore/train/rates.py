# SPDX-License-Identifier: Apache-2.0
"""Learning rates over the steps of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Rate"]

KINDS = ("constant", "cosine", "inverse_sqrt")


@dataclass(frozen=True)
class Rate:
    """``peak``·min(1, (n + 1)/``warmup``) times

        constant      1
        cosine        (1 + cos(π n/steps))/2
        inverse_sqrt  1/√max(n/``reference``, 1)          Karras et al. 2024 (arXiv 2312.02696)

    Args:
        peak: the largest rate.
        kind: one of the three.
        warmup: steps of the linear rise, at least 1.
        reference: of inverse_sqrt, in steps.

    Raises:
        ValueError: one of them is out of range.

    """

    peak: float = 1e-3
    kind: str = "constant"
    warmup: int = 1
    reference: int = 70_000

    def __post_init__(self) -> None:
        if not (math.isfinite(self.peak) and self.peak > 0):
            raise ValueError(f"peak is {self.peak}, expected a finite number above 0")
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}, expected one of {', '.join(KINDS)}")
        for name in ("warmup", "reference"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")

    def at(self, step: int, steps: int) -> float:
        """Return the rate of step 0, 1, … of ``steps``."""
        rise = min(1.0, (step + 1) / self.warmup)
        if self.kind == "cosine":
            return self.peak * rise * 0.5 * (1 + math.cos(math.pi * step / steps))
        if self.kind == "inverse_sqrt":
            return self.peak * rise / math.sqrt(max(step / self.reference, 1.0))
        return self.peak * rise
