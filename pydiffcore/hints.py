# SPDX-License-Identifier: Apache-2.0
"""What to say of a name that a module does not have: the one that other libraries' users mean."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

__all__ = ["hint", "missing"]

# A name of another thing helps nobody: only what could be a slip of the hand is guessed at.
ALIKE = 0.8


def missing(
    module: str, name: str, known: Iterable[str], elsewhere: Mapping[str, str]
) -> AttributeError:
    """Return the error of a name that is not there.

    Args:
        module: where it was looked for.
        name: what was looked for.
        known: the names that are there.
        elsewhere: what others call something, and what it is here.
    """
    said = f"module {module!r} has no attribute {name!r}"
    found = hint(name, known, elsewhere)
    return AttributeError(f"{said}: {found}" if found else said)


def hint(name: str, known: Iterable[str], elsewhere: Mapping[str, str]) -> str:
    """Return what is meant by a name that is not there, or "" where nobody can tell.

    Args:
        name, known, elsewhere: as for :func:`missing`.
    """
    plain = {_plain(other): other for other in elsewhere}
    if _plain(name) in plain:
        return f"it is {elsewhere[plain[_plain(name)]]} here"
    if name.endswith("Scheduler") and len(name) > len("Scheduler"):
        return f"diffusers' schedulers are here as pydiffcore.adapters.diffusers.{name}"
    there = {_plain(other): other for other in known}
    near = difflib.get_close_matches(_plain(name), list(there), n=1, cutoff=ALIKE)
    return f"did you mean {there[near[0]]!r}?" if near else ""


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
