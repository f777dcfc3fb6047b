# SPDX-License-Identifier: Apache-2.0
"""State per thread: threads that share a scheduler have their own timesteps and their own run."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pydiffcore.adapters.diffusers.course import RUN, Course
from pydiffcore.adapters.diffusers.place import element
from pydiffcore.adapters.diffusers.relay import course_of
from pydiffcore.adapters.diffusers.run import Run

__all__ = ["PerThread", "Saved", "Threads", "threads_of"]

GONE = 16  # runs in their middle that are kept for others when their thread has ended
FORGOTTEN = 256  # others of which the last states are remembered so that a step is refused
DROPPED = 16  # schedules that are remembered so that a step of theirs is refused

_MAKING = threading.Lock()


class Mark:
    """Lives as long as its thread."""


class Threads:
    """Courses, one per thread.

    What a thread writes is its own.  A thread that has written no schedule yet sees the latest
    one of any thread, so that one thread may set timesteps and another one step through them;
    while a step is at work it sees the one that was the latest at its beginning.
    """

    def __init__(self, values: dict[str, Any], by_time: bool = False) -> None:
        self._shared = Course(values, None)  # replaced as a whole: who reads it needs no lock
        self._lock = threading.RLock()
        self._local = threading.local()
        self._by_time = by_time
        self._all: dict[int, weakref.ref[Course]] = {}
        self._begun: dict[int, Course] = {}  # outlive their threads
        self._dropped: deque[tuple[Any, ...]] = deque(maxlen=DROPPED)
        self._forgotten: deque[weakref.ref[Any] | None] = deque(maxlen=FORGOTTEN)

    # ------------------------------------------------------------------------------------ values

    def values(self) -> Course:
        """Return this thread's values."""
        local, shared = self._local, self._shared
        try:
            mine: Course = local.mine
        except AttributeError:
            local.mark = Mark()
            local.owner, local.follows = weakref.ref(local.mark), shared
            return self._take(Course(shared, local.owner))
        if mine.owner is not local.owner:  # another thread goes on with its run
            mine = self._take(Course(mine.unbegun(), local.owner))
        if (
            local.follows is not shared
            and local.follows is not None
            and not mine.held
            and not mine.begun
        ):
            local.follows = shared
            mine = self._take(Course(shared, local.owner))
        return mine

    def _take(self, course: Course) -> Course:
        """Make a course this thread's."""
        self._local.mine = course
        course.owner = self._local.owner
        key, all_ = id(course), self._all
        if key not in all_:
            all_[key] = weakref.ref(course, lambda _: all_.pop(key, None))
        return course

    def write(self, new: Mapping[str, Any]) -> None:
        """Set this thread's values; threads without a schedule see those of one all at once."""
        mine = self.values()
        if "timesteps" in new and "_step_index" in new:
            self._end(mine)
        mine.update(new)
        if not new.keys() <= RUN:
            self._local.follows = None
        # Of a run others see what the constructor says: they begin with it.
        if any(name not in RUN or name not in self._shared for name in new):
            with self._lock:
                shared = self._shared
                shown = {k: v for k, v in new.items() if k not in RUN or k not in shared}
                self._shared = Course({**shared, **shown}, None)

    # ------------------------------------------------------------------------------------- steps

    def enter(self, timestep: Any, sample: Any, looks: bool = False) -> Course:
        """Return the values that a step is to be taken on, held until :meth:`leave`.

        Args:
            timestep: of the step.
            sample: its state, which tells runs apart where it is what a step returned.
            looks: the step itself is still to come.

        Raises:
            ValueError: other threads have runs, and none or several of them stand at the timestep.

        """
        with self._lock:
            mine = self.values()
            alone = len(self._all) == 1 and mine["timesteps"] is self._shared["timesteps"]
            if not alone and not self._continues(mine, timestep, sample):
                mine = self._found(mine, timestep, sample, looks)
            mine.held = not looks
            return mine

    def leave(self, course: Course) -> None:
        """Let go of what :meth:`enter` returned."""
        course.held = False
        if self._by_time:
            return
        index, kept = course["_step_index"], id(course) in self._begun
        if kept is (index is not None and index < course.length):
            return
        with self._lock:
            if not course.begun:
                del self._begun[id(course)]
                return
            gone = [key for key, each in self._begun.items() if each.owner() is None]
            for key in gone[: max(len(gone) - GONE + 1, 0)]:
                self._forgotten.append(self._begun.pop(key).result)
            self._begun[id(course)] = course

    def _continues(self, mine: Course, timestep: Any, sample: Any) -> bool:
        """Whether a step is plainly this thread's own."""
        schedule = mine.get("timesteps")
        if not isinstance(schedule, Tensor):
            return False
        place = element(timestep, schedule)
        if self._by_time:
            return place >= 0
        own = place >= 0 and place == mine.get("_step_index")
        return own and (len(self._begun) < 2 or mine.gave(sample))

    def _found(self, mine: Course, timestep: Any, sample: Any, looks: bool) -> Course:
        local = self._local
        for schedule, result, owner in self._dropped:
            known = element(timestep, schedule) >= 0 or (result is not None and result() is sample)
            if owner is not local.owner and known:
                raise ValueError(
                    f"timestep is {timestep}, of a run that another thread has ended by "
                    "set_timesteps: expected a scheduler for each of the runs that are in their "
                    "middle at once and go from thread to thread"
                )
        if any(result is not None and result() is sample for result in self._forgotten):
            raise ValueError(
                f"timestep is {timestep}, of a run whose thread has ended and that made way for "
                f"others: {GONE} such runs of one scheduler are kept"
            )
        alive = [each() for each in list(self._all.values())]
        others = [each for each in alive if each is not None and each is not mine]
        found = course_of(mine, others, self._shared, timestep, sample, self._by_time, looks)
        if found is mine:
            return mine
        if found.owner is None or not found.going:  # a schedule, and no run
            found = Course(found.unbegun(), local.owner)
        local.follows = self._shared
        return self._take(found)

    def _end(self, mine: Course) -> None:
        """Forget the run of a course that gets another schedule."""
        if mine.going and not self._by_time:
            self._dropped.append((mine["timesteps"], mine.result, mine.owner))
        self._begun.pop(id(mine), None)
        mine.result = None

    # ------------------------------------------------------------------------------------ copies

    def saved(self) -> dict[str, Any]:
        """Return this thread's values with the registers of its run, which are not moved on."""
        values = self.values()
        state = {**values.unbegun(), **{k: v for k, v in values.items() if k in RUN}}
        run = state.pop("_run", None)
        if run is not None:
            now = (values.get("timesteps"), values.get("sigmas"))
            state["_run"] = run.paused(now) if isinstance(run, Run) else run
        return state

    def __reduce__(self) -> Any:
        return Saved, (self.saved(), self._by_time)


class Saved:
    """The values of one thread, as a copy of a scheduler has them until it is used.

    Callers put one copy of a scheduler's attributes back several times over: it never changes.
    """

    def __init__(self, state: dict[str, Any], by_time: bool) -> None:
        self.state, self.by_time = state, by_time

    def threads(self) -> Threads:
        """Return threads of which this one has the values."""
        course = Course(self.state, None)
        made = Threads(course.unbegun(), self.by_time)
        made.values().update(course)
        return made


def threads_of(scheduler: Any) -> Threads:
    """Return the threads of a scheduler, which are new where its attributes are a copy's."""
    found: Threads | Saved = scheduler.__dict__["_threads"]
    if isinstance(found, Saved):
        with _MAKING:
            found = scheduler.__dict__["_threads"]
            if isinstance(found, Saved):
                found = scheduler.__dict__["_threads"] = found.threads()
    return found


class PerThread:
    """An attribute of a scheduler whose value belongs to the thread that asks."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, scheduler: Any, owner: Any = None) -> Any:
        if scheduler is None:
            return self
        try:
            return threads_of(scheduler).values()[self.name]
        except KeyError:
            raise AttributeError(self.name) from None

    def __set__(self, scheduler: Any, value: Any) -> None:
        threads_of(scheduler).write({self.name: value})
