# SPDX-License-Identifier: Apache-2.0
"""The relay: which of several courses a step belongs to, where threads may go on with each other's.

What tells is, in this order: the state, where it is the very tensor that a step returned; the
timestep, by its address in a schedule and else by its value; and the thread that stepped before.
"""

from __future__ import annotations

from typing import Any

from pydiffcore.adapters.diffusers.course import Course

__all__ = ["course_of"]


def course_of(
    mine: Course, others: list[Course], latest: Course, timestep: Any, sample: Any, by_time: bool,
    looks: bool,
) -> Course:  # fmt: skip
    """Return the course that a step is of: a run in its middle, or a schedule to begin on.

    Args:
        mine: of the thread that asks.
        others: of the other threads, and of those that are gone.
        latest: the schedule that was set last.
        timestep: of the step.
        sample: its state.
        by_time: a step has no history, so that the schedule alone is asked for.
        looks: a run may be taken of several that stand at one place, for what they have in common.

    Raises:
        ValueError: runs of other threads, none or several of which stand at the timestep.

    """
    home = home_of(mine, others, latest, timestep)
    if by_time:
        return mine if home.shares(mine) else home
    free = [each for each in others if each.going and not each.held]
    given = [each for each in (mine, *free) if each.gave(sample) and fit(each, timestep)]
    if len(given) == 1:
        return given[0]
    here = [each for each in free if each.shares(home)]
    if mine.begun and mine.shares(home) and fit(mine, timestep):
        return mine
    begins = home.begins_at(timestep)
    if begins and mine.get("_begin_index") and mine.shares(home):  # which its thread has said
        return mine
    standing = [each for each in here if fit(each, timestep) == 2]
    standing = standing or [each for each in here if fit(each, timestep)]
    waiting = [each for each in standing if each.may_own(sample)]
    if waiting and (len(waiting) == 1 or (looks and alike(waiting))):
        return waiting[0]
    if home.shares(mine):
        home = mine
    if not standing and home is mine and mine.begun:  # counted on, as in diffusers, or begun anew
        return latest if not latest.shares(mine) and latest.begins_at(timestep) else mine
    if begins and not waiting:
        return home
    if not standing and not any(  # begun in the middle
        each.going and each.shares(home) and each.may_own(sample) for each in others
    ):
        return home
    raise ValueError(
        f"timestep is {timestep}, and of the runs that other threads have begun {len(standing)} "
        f"stand before it, {len(waiting)} of which may have returned this state: expected exactly "
        "one; a run of its own begins with set_timesteps or set_begin_index in its thread"
    )


def home_of(mine: Course, others: list[Course], latest: Course, timestep: Any) -> Course:
    """Return a course of the schedule that a timestep is an element of.

    By its address, and else by its value, where this thread's own schedule has not got it.
    """
    every = (mine, latest, *others)
    for each in every:
        if each.has(timestep):
            return each
    if not mine.shares(latest) or any(not mine.shares(each) for each in others):
        value = mine.number_of(timestep)
        for each in every:
            if value in each.numbers():
                return each
    return mine


def fit(course: Course, timestep: Any) -> int:
    """Return how well a timestep fits the step that a course has to take next."""
    return course.fit(timestep, course["_step_index"]) if course.begun else 0


def alike(courses: list[Course]) -> bool:
    """Whether courses at one place count their calls alike."""
    return len({each.get("_first", 0) % 2 for each in courses}) == 1
