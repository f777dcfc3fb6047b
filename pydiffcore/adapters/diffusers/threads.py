# SPDX-License-Identifier: Apache-2.0
"""State per thread: threads that share a scheduler have their own timesteps and their own run."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

__all__ = ["PerThread", "Threads"]

RUN = frozenset({"_step_index", "_first", "_run", "is_scale_input_called"})
HIDDEN = frozenset({"_run", "_last", "_places", "_recipe"})  # of one run: no copy has them


class Threads:
    """Values by name, one set per thread.

    What a thread writes is its own.  A thread that has written no schedule yet sees the latest
    one of any thread, so that one thread may set timesteps and another one step through them;
    inside ``with threads as values`` it sees the one that was the latest at its beginning.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self._shared = values  # replaced as a whole: who reads it needs no lock
        self._lock = threading.Lock()
        self._local = threading.local()

    def values(self) -> dict[str, Any]:
        """Return this thread's values."""
        local = self._local
        mine: dict[str, Any] | None = getattr(local, "mine", None)
        follows, shared = getattr(local, "follows", None), self._shared
        if mine is None or (
            follows is not None
            and follows is not shared
            and mine.get("_step_index") is None  # not in the middle of a run
            and not getattr(local, "held", False)
        ):
            local.follows = shared
            mine = local.mine = dict(shared)
        return mine

    def __enter__(self) -> dict[str, Any]:
        values = self.values()
        self._local.held = True
        return values

    def __exit__(self, *_: object) -> None:
        self._local.held = False

    def write(self, new: Mapping[str, Any]) -> None:
        """Set this thread's values; threads without a schedule see those of one all at once."""
        self.values().update(new)
        if not new.keys() <= RUN:
            self._local.follows = None
        # Of a run others see what the constructor says: they begin with it.
        if any(name not in RUN or name not in self._shared for name in new):
            with self._lock:
                shared = self._shared
                shown = {k: v for k, v in new.items() if k not in RUN or k not in shared}
                self._shared = {**shared, **shown}

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
        scheduler.__dict__["_threads"].write({self.name: value})
