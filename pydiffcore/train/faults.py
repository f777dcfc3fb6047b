# SPDX-License-Identifier: Apache-2.0
"""What is said where pydantic refuses a configuration: the field, what came, what is permitted."""

from __future__ import annotations

import dataclasses
from typing import Any

from pydantic import BaseModel

from pydiffcore.train.arguments import nearest

__all__ = ["said"]

TABLES = ("dataclass_type", "dict_type", "model_type", "model_attributes_type")


def said(error: Any, model: type[BaseModel]) -> str:
    """Return a fault of pydantic's, an entry of ``errors()``, in one line.

    Args:
        error: the entry.
        model: what was to be made.

    """
    path = [str(part) for part in error["loc"]]
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return _unknown(path, model)
    field, message = ".".join(path), error["msg"].removeprefix("Value error, ")
    if error["type"] in TABLES:
        message = f"expected a table{_of(path, model)}"
    return f"{field} is {error['input']!r}: {message}" if field else message


def _unknown(path: list[str], model: type[BaseModel]) -> str:
    """Return what is said of a name that no table has: those that it has, and the nearest."""
    table: Any = model
    for part in path[:-1]:
        table = _fields(table)[part]
    names, parent = list(_fields(table)), "".join(f"{part}." for part in path[:-1])
    there = f"{parent[:-1]} has" if parent else "a training has"
    return (
        f"{parent}{path[-1]} is no field of a training: {nearest(path[-1], names, parent)}{there} "
        f"{', '.join(names)}"
    )


def _of(path: list[str], model: type[BaseModel]) -> str:
    """Return which fields the table of a path has, where it has fields of its own."""
    table: Any = model
    try:
        for part in path:
            table = _fields(table)[part]
        return f" of {', '.join(_fields(table))}"
    except (KeyError, TypeError):
        return ""


def _fields(table: Any) -> dict[str, Any]:
    """Return the fields of a section, or of a dataclass such as a rate, with their kinds."""
    if issubclass(table, BaseModel):
        return {name: field.annotation for name, field in table.model_fields.items()}
    return {field.name: field.type for field in dataclasses.fields(table)}
