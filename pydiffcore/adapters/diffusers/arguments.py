# SPDX-License-Identifier: Apache-2.0
"""Arguments of our methods by name, with the defaults of the diffusers that is installed."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["step_options", "timestep_options"]


def step_options(s: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return what follows (model_output, timestep, sample) by name.

    Raises:
        TypeError: an argument that the step has not.

    """
    defaults: dict[str, Any] = s._step_defaults
    if not args and not kwargs:
        return defaults
    names = [name for name in defaults if name not in s.family.extra]
    options = {**defaults, **kwargs}
    if len(args) > len(names) or len(options) > len(defaults):
        wrong = sorted(set(kwargs) - set(defaults)) or f"{len(args) + 3} positional arguments"
        raise TypeError(
            f"{type(s).__name__}.step() got {wrong}, expected {inspect.signature(s.step)}"
        )
    options.update(zip(names, args, strict=False))
    return options


def timestep_options(s: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of set_timesteps by name.

    ``inspect`` would take as long over them as a step takes.

    Raises:
        TypeError: an argument that the method has not, or one that is missing.

    """
    defaults: dict[str, Any] = s._timestep_defaults
    options = {**defaults, **kwargs}
    twice = len(args) > len(defaults) or any(name in kwargs for name in [*defaults][: len(args)])
    options.update(zip(defaults, args, strict=False))
    missing = any(value is inspect.Parameter.empty for value in options.values())
    if twice or missing or len(options) > len(defaults):
        parameters = [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=value)
            for name, value in defaults.items()
        ]
        inspect.Signature(parameters).bind(*args, **kwargs)
    return options
