# SPDX-License-Identifier: Apache-2.0
"""Figures so far, on the screen and in a file, and whether all is well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.contenders import CAPTURED, TIME_IS_UP

__all__ = ["FORMAT", "Report"]

FORMAT = "pydiffcore gpu 2"


class Report:
    """What was found by part; the file is written anew after every figure."""

    def __init__(self, path: str | None, device: torch.device, about: dict[str, Any]) -> None:
        self.device = device
        self.path = None if path is None else Path(path)
        self.content: dict[str, Any] = {"format": FORMAT, **about, "errors": {}}

    def say(self, *lines: str) -> None:
        print(*lines, sep="\n", flush=True)

    def add(self, part: str, figures: Any) -> None:
        self.content[part] = figures
        if self.path is not None:
            self.path.write_text(
                json.dumps(self.content, indent=1, ensure_ascii=False) + "\n", "utf-8"
            )

    @property
    def timed(self) -> list[dict[str, Any]]:
        """Every network that was timed, and those where that failed."""
        return [*self.content.get("policies", []), *self.content.get("end_to_end", [])]

    @property
    def holds(self) -> bool:
        """Whether every check held and nothing failed."""
        checked = [*self.content.get("bits", []), self.content.get("count", {})]
        compared = [one for each in self.timed for one in each.get("contenders", [])]
        begun = [each["cold_start"] for each in self.timed if "cold_start" in each]
        return (
            not self.content["errors"]
            and not any("error" in each for each in (*self.timed, *begun))
            and not any("error" in each for each in self.content.get("rows", []))
            and all(each.get("holds") is not False for each in checked)
            and all(one["agrees"] is not False for one in compared)
            and (self.device.type != "cuda" or all(map(captured, self.timed)))
        )


def captured(each: dict[str, Any]) -> bool:
    """Whether our loop was captured where it was to be: no quiet fall back to a slower one."""
    kinds = [one["kind"] for one in each.get("contenders", []) if one["name"] == CAPTURED]
    late = each.get("skipped_contenders", {}).get(CAPTURED) == TIME_IS_UP
    return "skipped" in each or late or kinds == ["graph"]
