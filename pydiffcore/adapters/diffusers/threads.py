# SPDX-License-Identifier: Apache-2.0
"""State per thread: threads that share a scheduler have their own timesteps and their own run."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["PerThread", "Threads"]

RUN = frozenset({"_step_index", "_first", "_run", "is_scale_input_called"})
HIDDEN = frozenset({"_run", "_last", "_places", "_recipe"})  # of one run: no copy has them


class Threads:
    """Values by name, one set per thread.

    What a thread writes is its own.  A thread that has written no schedule yet sees the latest
    one of any thread, so that one thread may set timesteps and another one step through them.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self._shared = values
        self._local = threading.local()

    def values(self) -> dict[str, Any]:
        """Return this thread's values."""
        local = self._local
        mine: dict[str, Any] | None = getattr(local, "mine", None)
        follows = getattr(local, "follows", None)
        if mine is None or (
            follows is not None
            and follows is not self._shared
            and mine.get("_step_index") is None  # not in the middle of a run
        ):
            local.follows = self._shared
            mine = local.mine = dict(self._shared)
        return mine

    def write(self, name: str, value: Any) -> None:
        """Set one of this thread's values; a schedule is also shown to threads without one."""
        values = self.values()
        values[name] = value
        if name not in RUN:
            self._local.follows = None
            self._shared = {**self._shared, name: value}
        elif name not in self._shared:  # the constructor's value: other threads begin with it
            self._shared = {**self._shared, name: value}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.values().items() if name not in HIDDEN}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state)  # type: ignore[misc]


class PerThread:
    """An attribute of a scheduler whose value belongs to the thread that asks."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, scheduler: Any, owner: Any = None) -> Any:
        if scheduler is None:
            return self
        try:
            return scheduler.__dict__["_threads"].values()[self.name]
        except KeyError:
            raise AttributeError(self.name) from None

    def __set__(self, scheduler: Any, value: Any) -> None:
        scheduler.__dict__["_threads"].write(self.name, value)
