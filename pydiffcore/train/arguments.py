# SPDX-License-Identifier: Apache-2.0
"""Arguments that a file has for a function: their names and kinds, before it is called."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["checked", "nearest", "taken"]

NUMBER = (int, float)
KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "true or false"),
    "float": (NUMBER, "a number"),
    "int": ((int,), "a whole number"),
    "str": ((str,), "a word"),
}


def taken(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the arguments of a function, or of a class, whose own may be those of its parent."""
    found = dict(inspect.signature(function).parameters)
    rest = [name for name, each in found.items() if each.kind is each.VAR_KEYWORD]
    if rest and inspect.isclass(function):
        del found[rest[0]]
        found = taken(function.__mro__[1]) | found
    return found


def checked(field: str, owner: str, function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Refuse arguments that a function does not take, or not of their kind.

    Args:
        field: where they are given, as ``network.options``.
        owner: what messages call the function.
        function: whose annotations say what is of which kind.
        given: the arguments by their names.

    Raises:
        ValueError: the first that does not fit, by ``field`` and its name.

    """
    known = taken(function)
    for name, value in given.items():
        if name not in known:
            raise ValueError(
                f"{field}.{name} is no argument of {owner}: {nearest(name, list(known))}it has "
                f"{', '.join(known) or 'none'}"
            )
        expected = _expected(str(known[name].annotation), value)
        if expected:
            raise ValueError(f"{field}.{name} is {value!r}, expected {expected}")


def nearest(name: str, names: Sequence[str], parent: str = "") -> str:
    """Return a hint at the name that was probably meant, or nothing."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {parent}{near[0]}? " if near else ""


def _expected(annotation: str, value: Any) -> str:
    """Return what was expected where the value is not of the kind, or nothing."""
    if annotation.startswith("Sequence["):
        inner = annotation.removeprefix("Sequence[").removesuffix("]")
        several = isinstance(value, Sequence) and not isinstance(value, str)
        fits = several and not any(_expected(inner, each) for each in value)
        return "" if fits else f"a list, each {KINDS[inner][1]}" if inner in KINDS else ""
    types, said = KINDS.get(annotation, ((object,), ""))
    wrong = not isinstance(value, types) or (isinstance(value, bool) and bool not in types)
    return said if wrong else ""
