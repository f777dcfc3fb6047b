# SPDX-License-Identifier: Apache-2.0
"""What a network is conditioned on, as a tree: tensors, plain values, and containers of both."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["copied", "entries", "kind", "tensors"]

PLAIN = (type(None), bool, int, float, str)


def entries(value: Any) -> int | None:
    """Return the length of a list or of a tensor's or array's first axis, else None.

    A tuple is None: it is an option of the network, such as an image's size.
    """
    if isinstance(value, Tensor | np.ndarray):
        return len(value) if value.ndim else None
    return len(value) if isinstance(value, list) else None


def mapped(value: Any, leaf: Callable[[str, Any], Any], name: str = "condition") -> Any:
    """Return the same tree with every leaf replaced by ``leaf(name, value)``.

    Raises:
        TypeError: something is no tensor, plain value, dict, list or tuple.

    """
    if isinstance(value, Mapping):
        return {key: mapped(each, leaf, f"{name}[{key!r}]") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(mapped(each, leaf, f"{name}[{i}]") for i, each in enumerate(value))
    if isinstance(value, (Tensor, *PLAIN)):
        return leaf(name, value)
    raise TypeError(
        f"{name} is {type(value).__name__}, expected tensors, numbers, strings or None, and dicts, "
        "lists or tuples of them: what is no tensor is fixed when a loop is captured"
    )


def tensors(given: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return every tensor of a tree by its place."""
    found: dict[str, Tensor] = {}
    mapped(given, lambda name, value: found.update({name: value})
           if isinstance(value, Tensor) else None)  # fmt: skip
    return found


def kind(given: Mapping[str, Any]) -> Hashable:
    """Return what two trees share that one graph can serve: all but the values of tensors."""
    found: list[Hashable] = []

    def leaf(name: str, value: Any) -> None:
        tensor = isinstance(value, Tensor)
        found.append((name, tuple(value.shape), value.dtype) if tensor
                     else (name, type(value), value))  # fmt: skip

    mapped(given, leaf)
    return tuple(found)


def copied(given: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Return the tree with tensors in memory of their own."""

    def leaf(name: str, value: Any) -> Any:
        return value.detach().to(device, copy=True) if isinstance(value, Tensor) else value

    return dict(mapped(given, leaf))
