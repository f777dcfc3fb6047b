# SPDX-License-Identifier: Apache-2.0
"""What to say of a name that a module does not have: the one that other libraries' users mean."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

__all__ = ["missing"]


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
    if name in elsewhere:
        return AttributeError(f"{said}: it is {elsewhere[name]} here")
    near = difflib.get_close_matches(name, list(known), n=1)
    return AttributeError(f"{said}: did you mean {near[0]!r}?" if near else said)
