# SPDX-License-Identifier: Apache-2.0
"""What is wrong with an image, and the error that lists it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["BadImages", "Fault"]

SHOWN = 10


@dataclass(frozen=True)
class Fault:
    """An image's name in its source, and why it cannot be used."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name} {self.why}"


class BadImages(ValueError):
    """A source holds images that cannot be used; ``faults`` lists them all."""

    def __init__(self, where: str, faults: Sequence[Fault]) -> None:
        self.where, self.faults = where, tuple(faults)
        shown = "; ".join(str(fault) for fault in faults[:SHOWN])
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        images = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"{where} has {images}: {shown}{more}")

    def __reduce__(self) -> tuple[type[BadImages], tuple[str, tuple[Fault, ...]]]:
        """Let it cross from a worker process."""
        return type(self), (self.where, self.faults)
