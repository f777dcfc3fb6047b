# SPDX-License-Identifier: Apache-2.0
"""A claim: a script whose ``measure()`` yields figures, each beside its bar."""

from __future__ import annotations

import json
import operator
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

__all__ = ["Figure", "main"]

COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        what: what was measured, with its conditions.
        value: the number.
        bar: ``"<= 1e-10"`` and the like, or "" for a figure published without a bar.
        unit: its unit.
        note: a reason or a limit that belongs beside the figure.
    """

    what: str
    value: float
    bar: str = ""
    unit: str = ""
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the figure meets its bar; a figure without a bar always does."""
        if not self.bar:
            return True
        sign, number = self.bar.split()
        return bool(COMPARE[sign](self.value, float(number)))

    def __str__(self) -> str:
        verdict = "" if not self.bar else ("  ok  " if self.holds else " SHORT")
        bar = f" (bar {self.bar})" if self.bar else ""
        note = f"  [{self.note}]" if self.note else ""
        return f"{verdict:6} {self.what}: {self.value:.4g} {self.unit}{bar}{note}"


def main(measure: Callable[[], Iterable[Figure]]) -> None:
    """Print every figure as it is measured; exit with 1 if one falls short.

    Where the environment names a file in CLAIMS_JSON the figures are written there too.
    """
    figures = []
    for figure in measure():
        print(figure, flush=True)
        figures.append(figure)
    path = os.environ.get("CLAIMS_JSON")
    if path:
        with open(path, "w") as file:
            json.dump([asdict(figure) for figure in figures], file)
    if not figures:
        print("no figure was measured")
    sys.exit(0 if figures and all(figure.holds for figure in figures) else 1)
