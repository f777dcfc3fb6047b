# SPDX-License-Identifier: Apache-2.0
"""Refusals that name the argument.  They read shapes; values only on a CPU, never on a device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["at_least", "image", "labels", "not_empty", "number", "one_of", "vectors"]


def at_least(bound: float, **arguments: float) -> None:
    """Refuse arguments below a bound."""
    for name, value in arguments.items():
        if value < bound:
            raise ValueError(f"{name} is {value}, expected at least {bound}")


def not_empty(**arguments: Sequence[object]) -> None:
    """Refuse lists of nothing."""
    for name, value in arguments.items():
        if not len(value):
            raise ValueError(f"{name} is {value!r}, expected at least one entry")


def one_of(name: str, value: str, known: Sequence[str]) -> None:
    """Refuse a word that is not known."""
    if value not in known:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(known)}")


def image(x: Tensor, channels: int, multiple: int) -> None:
    """Refuse what is not [B, channels, H, W] with H and W multiples of a number."""
    if x.ndim != 4 or x.shape[1] != channels or x.shape[2] % multiple or x.shape[3] % multiple:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, expected [B, {channels}, H, W] with H and W "
            f"multiples of {multiple}"
        )


def number(c_noise: Tensor, x: Tensor) -> None:
    """Refuse what is not one number per sample."""
    if c_noise.shape != x.shape[:1]:
        raise ValueError(f"c_noise has shape {tuple(c_noise.shape)}, expected ({len(x)},)")


def vectors(name: str, value: Tensor | None, size: int, x: Tensor) -> None:
    """Refuse what is not one vector [size] per sample; None is that where the size is 0."""
    if value is None and size:
        raise ValueError(f"{name} is None, expected [{len(x)}, {size}]")
    if value is not None and (not size or value.shape != (len(x), size)):
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}, "
            + (f"expected ({len(x)}, {size})" if size else "expected None: this network has none")
        )


def labels(class_labels: Tensor | None, classes: int, x: Tensor) -> Tensor:
    """Return labels int64 [B], ``classes`` where there is none.

    Raises:
        ValueError: another shape or dtype, or a class out of range, or a network without classes.
    """
    if class_labels is None:
        return torch.full((len(x),), classes, dtype=torch.int64, device=x.device)
    if not classes:
        raise ValueError("class_labels are given, expected None: this network has no classes")
    if class_labels.shape != x.shape[:1]:
        raise ValueError(
            f"class_labels has shape {tuple(class_labels.shape)}, expected ({len(x)},)"
        )
    if class_labels.is_floating_point() or class_labels.dtype == torch.bool:
        raise ValueError(f"class_labels is {class_labels.dtype}, expected integers")
    if class_labels.device.type == "cpu" and not torch.compiler.is_compiling():
        if bool(((class_labels < 0) | (class_labels > classes)).any()):
            raise ValueError(f"class_labels has a label outside 0 … {classes}")
    return class_labels.to(torch.int64)
