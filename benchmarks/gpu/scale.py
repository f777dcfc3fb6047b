# SPDX-License-Identifier: Apache-2.0
"""How much is measured: everything, a part of it, or sizes that a CPU runs through in a minute."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

__all__ = ["FULL", "PARTS", "QUICK", "TINY", "Deadline", "Scale"]

# The parts of a run in their order, and how the time is shared between those that take long.
PARTS = {"bits": 0.0, "count": 0.0, "rows": 0.25, "policies": 0.35, "end_to_end": 0.4}

THREE = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Scale:
    """What a run measures, and how long it may take.

    Attributes:
        name: of the scale.
        elements: sizes of the row measurement; those bound by memory come first, lest the time be
            up before them.
        dtypes: of network input and output there, where the state is float32.
        launches: rows between two events, at most.
        copied: bytes that a timed copy moves in all, at least.
        rounds: of an interleaved measurement, at most.
        seconds: after which a measurement begins no further round, though never before three.
        batches: of the whole loops.
        calls: of a policy, at most.
        minutes: for everything; what no longer fits is left out and says so.
        backend: of torch.compile.
        small: networks of a few thousand parameters in the place of the real ones.
    """

    name: str
    elements: tuple[int, ...]
    dtypes: tuple[torch.dtype, ...]
    launches: int
    copied: int
    rounds: int
    seconds: float
    batches: tuple[int, ...]
    calls: int
    minutes: float
    backend: str = "inductor"
    small: bool = False


FULL = Scale(
    name="full",
    elements=(10**8, 10**9, 10**7, 10**4, 10**6, 10**5),
    dtypes=THREE,
    launches=200,
    copied=2**30,
    rounds=15,
    seconds=5.0,
    batches=(1, 8, 64, 512),
    calls=200,
    minutes=7.5,
)
QUICK = Scale(
    name="quick",
    elements=(10**8, 10**4, 10**6),
    dtypes=THREE[:2],
    launches=200,
    copied=2**30,
    rounds=7,
    seconds=2.0,
    batches=(1, 8),
    calls=200,
    minutes=5.0,
)
# Dynamo alone: its graphs run as they are, so that no C++ compiler works for minutes.
TINY = Scale(
    name="tiny",
    elements=(10**4, 10**5),
    dtypes=THREE,
    launches=10,
    copied=2**22,
    rounds=3,
    seconds=0.2,
    batches=(1, 8),
    calls=8,
    minutes=30.0,
    backend="eager",
    small=True,
)


class Deadline:
    """The time that is left.

    Args:
        minutes: for all parts of a run.
        parts: those that run, which share the time.
    """

    def __init__(self, minutes: float, parts: Sequence[str] = tuple(PARTS)) -> None:
        self.begun = time.perf_counter()
        self.seconds = 60 * minutes
        self.whole = sum(PARTS[part] for part in parts)

    @property
    def spent(self) -> float:
        return time.perf_counter() - self.begun

    def allows(self, seconds: float) -> bool:
        """Whether so much time is left."""
        return self.spent + seconds <= self.seconds

    def share(self, part: str) -> float:
        """Return the seconds that a part may take."""
        return self.seconds * (PARTS[part] / self.whole if self.whole else 1.0)
