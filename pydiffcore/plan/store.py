# SPDX-License-Identifier: Apache-2.0
"""A plan as a file: JSON with exact decimal floats and the plan's own hash."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pydiffcore.atomic import write_atomically

if TYPE_CHECKING:
    from pydiffcore.plan.plan import Plan

__all__ = ["from_json", "load", "save", "to_json"]

FORMAT = "pydiffcore plan 1"


def to_json(plan: Plan) -> str:
    """Return ``plan`` as the text of its file."""
    content: dict[str, Any] = {"format": FORMAT, "hash": plan.hash}
    for field in fields(plan):
        value = getattr(plan, field.name)
        content[field.name] = value.tolist() if isinstance(value, np.ndarray) else value
    return json.dumps(content)


def from_json(cls: type[Plan], text: str, name: str = "the text") -> Plan:
    """Read a plan from text; ``name`` says in errors where the text came from."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is not a plan or is truncated: {error}") from None
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ValueError(f"{name} is not of the format {FORMAT!r}")
    expected = content.pop("hash", None)
    try:
        content["clip"] = tuple(content["clip"]) if content["clip"] else None
        arrays: dict[str, Any] = {
            field: np.array(value) if isinstance(value, list) else value
            for field, value in content.items()
        }
        arrays["interval"] = np.reshape(arrays["interval"], (-1, 2))  # [] where nothing is drawn
        plan = cls(**arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name} does not hold a whole plan: {error}") from None
    if plan.hash != expected:
        raise ValueError(f"{name} was altered: its hash is {plan.hash}, it says {expected}")
    return plan


def save(plan: Plan, path: str | Path) -> None:
    """Write ``plan`` atomically: a reader sees the old file or the whole new one."""
    write_atomically(Path(path), to_json(plan).encode())


def load(cls: type[Plan], path: str | Path) -> Plan:
    """Read a plan's file; ValueError where it is no plan, is cut short or was altered."""
    try:
        text = Path(path).read_text()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a plan or is truncated: {error}") from None
    return from_json(cls, text, str(path))
