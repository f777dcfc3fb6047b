# SPDX-License-Identifier: Apache-2.0
"""Where a timestep stands in a schedule."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

__all__ = ["begin_of", "element", "no_integer", "number", "position", "value_of"]


def element(timestep: Any, schedule: Tensor) -> int:
    """Return which element of the schedule a timestep is, by its address, or -1.

    Reading the value of a timestep on a device would wait for it.
    """
    if isinstance(timestep, Tensor) and timestep.dtype == schedule.dtype:
        place, rest = divmod(timestep.data_ptr() - schedule.data_ptr(), schedule.element_size())
        if rest == 0 and 0 <= place < len(schedule) and timestep.numel() == 1:
            return int(place)
    return -1


def begin_of(timestep: Any, schedule: Tensor) -> int:
    """Return where a timestep stands: of two equal ones the second, where a step begins.

    Raises:
        IndexError: it is not there.

    """
    found = (schedule == timestep).nonzero()
    if not len(found):
        raise IndexError(
            f"timestep {timestep} is not one of the scheduler's {len(schedule)} timesteps, "
            f"{schedule[:3].tolist()} … {schedule[-1:].tolist()}"
        )
    return int(found[1 if len(found) > 1 else 0].item())


def number(timestep: Any) -> Any:
    """Return a timestep as a number.

    Raises:
        TypeError: it is none.
        RuntimeError: it is several.

    """
    if isinstance(timestep, Real):
        return timestep
    if not isinstance(timestep, Tensor | np.ndarray):
        raise TypeError(f"timestep is {timestep!r}, expected a number or a tensor of one")
    if timestep.shape not in ((), (1,)):
        raise RuntimeError(
            f"timestep has shape {tuple(timestep.shape)}, expected one number for the whole batch"
        )
    return timestep.item()


def no_integer(timestep: Any, name: str) -> None:
    """Refuse an integer as a timestep of a scheduler whose own have fractions.

    Raises:
        ValueError: it is one.

    """
    whole = isinstance(timestep, Tensor) and not timestep.is_floating_point()
    if isinstance(timestep, int) or whole:
        raise ValueError(
            f"timestep is {timestep!r}: integers, such as the indices of enumerate(timesteps), "
            f"are no timesteps of {name}; pass one of scheduler.timesteps"
        )


def position(timestep: Any, values: dict[str, Any]) -> int:
    """Return where a timestep stands in the schedule, -1 where it does not."""
    schedule = values["timesteps"]
    place = element(timestep, schedule)
    if place >= 0:
        return place
    places = values.get("_places")
    if places is None or places[0] is not schedule:
        places = values["_places"] = (schedule, {t: i for i, t in enumerate(schedule.tolist())})
    found: int = places[1].get(number(timestep), -1)
    return found


def value_of(timestep: Any, otherwise: float) -> float:
    """Return a timestep as a float, another value where it is no single number."""
    try:
        return float(timestep)
    except (TypeError, ValueError, RuntimeError):
        return otherwise
