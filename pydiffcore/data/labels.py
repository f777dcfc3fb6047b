# SPDX-License-Identifier: Apache-2.0
"""The table of labels ``dataset.json`` of a folder or an archive.

    {"labels": [["00000/img00000000.png", 0], …], "classes": ["airplane", …]}

``labels`` may be null, for none; ``classes`` is optional and ours: StyleGAN and EDM, whose format
the rest is, do not read it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydiffcore.data.faults import Fault

__all__ = ["TABLE", "Labels", "read_labels", "written_labels"]

TABLE = "dataset.json"
Labels = dict[str, int]


def read_labels(
    text: str | bytes, names: Sequence[str]
) -> tuple[Labels | None, tuple[str, ...], tuple[Fault, ...]]:
    """Return the label of each name, the classes' names, and what is wrong with the table.

    Raises:
        ValueError: it is no such table at all.
    """
    try:
        content = json.loads(text)
        rows, classes = content["labels"], tuple(content.get("classes") or ())
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(
            f'{TABLE} is no JSON of the form {{"labels": [[name, label], …]}}'
        ) from None
    if rows is None:
        return None, (), ()
    if not isinstance(rows, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"{TABLE} has no list of labels, or classes that are no names")
    known, labels, faults = set(names), Labels(), []
    for place, row in enumerate(rows):
        name, why = _wrong(row, place, known, labels, len(classes))
        if why:
            faults.append(Fault(name, why))
        else:
            labels[name] = row[1]
    wrong = {fault.name for fault in faults}
    faults += [
        Fault(name, f"has no label in {TABLE}")
        for name in names
        if name not in labels and name not in wrong
    ]
    return labels, classes, tuple(faults)


def _wrong(row: Any, place: int, known: set[str], labels: Labels, classes: int) -> tuple[str, str]:
    """Return a row's name and what is wrong with the row, "" where nothing is."""
    if not (isinstance(row, list) and len(row) == 2 and isinstance(row[0], str)):
        return TABLE, f"has the row {place} {row!r}, expected [name, label]"
    name, label = row
    if type(label) is not int or label < 0 or (classes and label >= classes):
        limit = f" below {classes}" if classes else " from 0 on"
        return name, f"has the label {label!r} in {TABLE}, expected a whole number{limit}"
    if name not in known:
        return name, f"is in {TABLE}, but there is no such image"
    if name in labels:
        return name, f"is in {TABLE} more than once"
    return name, ""


def written_labels(rows: Sequence[tuple[str, int]] | None, classes: Sequence[str]) -> bytes:
    """Return the table as a file, the same bytes for the same labels."""
    content: dict[str, Any] = {"labels": None if rows is None else [list(row) for row in rows]}
    if classes and rows is not None:
        content["classes"] = list(classes)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
