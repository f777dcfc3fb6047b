# SPDX-License-Identifier: Apache-2.0
"""Scheduler classes by diffusers' names, made when they are first asked for.

Each is :class:`Fused` with a family, the signatures of the diffusers that is installed, and that
scheduler as a base, so that ``isinstance`` and the small helpers of its class hold.  Construction,
timesteps, steps and noise are all done by Fused.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from pydiffcore.adapters.diffusers.names import FAMILIES
from pydiffcore.adapters.diffusers.scheduler import LOCAL, Fused
from pydiffcore.adapters.diffusers.threads import PerThread

__all__ = ["scheduler_class"]

METHODS = (
    "add_noise",
    "begin_index",
    "index_for_timestep",
    "set_begin_index",
    "step",
    "step_index",
)


class Absent:
    """A name that diffusers' class has not got, which callers look for to tell what it can do."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, scheduler: Any, owner: type) -> Any:
        raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}")


@cache
def scheduler_class(name: str) -> type:
    """Return the class of a name.

    Raises:
        AttributeError: there is no such scheduler here.
        ImportError: diffusers is not installed.

    """
    if name not in FAMILIES:
        raise AttributeError(f"no scheduler {name!r}: there are {', '.join(sorted(FAMILIES))}")
    import diffusers
    from diffusers.configuration_utils import register_to_config
    from diffusers.schedulers.scheduling_utils import SchedulerOutput

    family, theirs = FAMILIES[name], getattr(diffusers, name)
    output = getattr(sys.modules[theirs.__module__], family.output) if family.output else None
    step = _signed(Fused.step, getattr(theirs, family.step), family.step, family.extra)
    parameters = [*inspect.signature(step).parameters.values()][4:]
    given = [*inspect.signature(theirs.set_timesteps).parameters.values()][1:]
    absent = [each for each in METHODS if not hasattr(theirs, each)]
    members: dict[str, Any] = {
        "__init__": register_to_config(_signed(Fused.__init__, theirs.__init__, "__init__", {})),
        "__module__": "pydiffcore.adapters.diffusers",
        "__doc__": f"diffusers' {name}, whose steps run as rows of a plan.",
        "family": family,
        "set_timesteps": _signed(Fused.set_timesteps, theirs.set_timesteps, "set_timesteps", {}),
        "_output": output or SchedulerOutput,
        "_timestep_defaults": {p.name: p.default for p in given},
        "_step_defaults": {p.name: p.default for p in parameters},
        **{each: Absent(each) for each in absent},
        **{each: PerThread(each) for each in (*LOCAL, *family.local)},
        "_per_thread": frozenset((*LOCAL, *family.local)),
        **{each: step for each in (family.step, *family.aliases)},
        **family.members,
    }
    return type(name, (Fused, theirs), members)


def _signed(own: Callable[..., Any], theirs: Any, name: str, extra: dict[str, Any]) -> Any:
    """Return a function of ours with the signature of theirs, which pipelines inspect."""
    signature = inspect.signature(theirs)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if name == "__init__":  # the rest look at their own arguments
            signature.bind(self, *args, **kwargs)
        return own(self, *args, **kwargs)

    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value)
        for name, value in extra.items()
    ]
    parameters = [*signature.parameters.values(), *more]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__name__, call.__doc__ = name, own.__doc__
    return call
