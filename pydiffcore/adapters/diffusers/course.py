# SPDX-License-Identifier: Apache-2.0
"""A course: a schedule and how far its run has come.  One thread at a time goes on with it."""

from __future__ import annotations

import weakref
from math import nan
from typing import Any

from torch import Tensor

from pydiffcore.adapters.diffusers.place import element, value_of

__all__ = ["HIDDEN", "RUN", "Course"]

RUN = frozenset({"_step_index", "_first", "_run", "is_scale_input_called"})
HIDDEN = frozenset({"_run", "_last", "_places", "_recipe", "_numbers"})  # of one run alone


class Course(dict[str, Any]):
    """Attributes of a scheduler by name.

    ``owner`` is the mark of the thread that goes on with it, ``held`` says that a step is at work
    on it, ``length`` is the number of steps that the last one counted, and ``result`` refers to the
    state that it returned.
    """

    __slots__ = ("__weakref__", "held", "length", "owner", "result")

    def __init__(self, values: dict[str, Any], owner: Any) -> None:
        super().__init__(values)
        self.owner, self.held, self.length = owner, False, 0
        self.result: weakref.ref[Any] | None = None

    @property
    def begun(self) -> bool:
        """Whether a run is in its middle, or before its first step."""
        index = self.get("_step_index")
        return index is not None and index < len(self["timesteps"])

    @property
    def going(self) -> bool:
        """Whether a run has taken a step and has one to come: another thread may go on with it."""
        return self.begun and self["_step_index"] > self.get("_first", 0)

    def unbegun(self) -> dict[str, Any]:
        """Return the schedule without the run."""
        kept = {k: v for k, v in self.items() if k not in HIDDEN and k != "_first"}
        return {**kept, "_step_index": None}

    def has(self, timestep: Any) -> bool:
        """Whether a timestep is an element of the schedule, by its address."""
        schedule = self.get("timesteps")
        return schedule is not None and element(timestep, schedule) >= 0

    def shares(self, other: Course) -> bool:
        """Whether the two have one schedule."""
        return self.get("timesteps") is other.get("timesteps")

    def numbers(self) -> list[float]:
        """Return the timesteps on the host, read once."""
        schedule, kept = self.get("timesteps"), self.get("_numbers")
        if kept is None or kept[0] is not schedule:
            found = schedule.tolist() if isinstance(schedule, Tensor) else []
            kept = self["_numbers"] = (schedule, found)
        numbers: list[float] = kept[1]
        return numbers

    def number_of(self, timestep: Any) -> float:
        """Return the value of a timestep, NaN of what is no single number."""
        place = element(timestep, self["timesteps"]) if self.has(timestep) else -1
        return self.numbers()[place] if place >= 0 else value_of(timestep, nan)

    def fit(self, timestep: Any, at: int) -> int:
        """Return 2 where a timestep is the element at a place, 1 where it equals it, else 0."""
        if self.has(timestep) and element(timestep, self["timesteps"]) == at:
            return 2
        numbers = self.numbers()
        return int(at < len(numbers) and numbers[at] == self.number_of(timestep))

    def begins_at(self, timestep: Any) -> bool:
        """Whether a run of this schedule begins at a timestep."""
        return self.fit(timestep, self.get("_begin_index") or 0) > 0

    def gave(self, sample: Any) -> bool:
        """Whether a state is what the last step returned."""
        return self.result is not None and self.result() is sample

    def may_own(self, sample: Any) -> bool:
        """Whether a state may be one that the caller made of what the last step returned.

        It may not where that is still there, and another tensor.
        """
        result = None if self.result is None else self.result()
        return result is None or result is sample
