# SPDX-License-Identifier: Apache-2.0
"""Inputs of nodes, as ComfyUI describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Input", "defaults", "number", "whole"]

Input = tuple[Any, ...]


def number(default: float, high: float, low: float = 0.0, step: float = 0.01) -> Input:
    """Describe a number from low to high."""
    shown = {"default": default, "min": low, "max": high, "step": step, "round": False}
    return "FLOAT", shown


def whole(default: int, high: int, low: int = 1) -> Input:
    """Describe a whole number from low to high."""
    return "INT", {"default": default, "min": low, "max": high}


def defaults(inputs: Mapping[str, Input]) -> dict[str, Any]:
    """Return the value that each input has when nobody touches it."""
    return {name: more[0]["default"] if more else kind[0] for name, (kind, *more) in inputs.items()}
