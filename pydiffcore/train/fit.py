# SPDX-License-Identifier: Apache-2.0
"""A network's options made to fit the samples, where nobody gave them.

The defaults of a network are those of its paper for one size of image.  For other sizes the
papers' own for that size are taken, where there are any; then the levels are as many as height and
width can be halved, and attention is at the resolutions that are nearest to the paper's.  What was
given is never changed: where it does not fit it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydiffcore.networks import NETWORKS
from pydiffcore.train.arguments import taken

__all__ = ["fitted", "refuse_sizes"]

UNETS = ("ddpmpp", "ncsnpp", "adm", "edm2")
SMALLEST = 4  # pixels of the lowest resolution, if it can be so low
LARGEST = 64  # what it may have where the size cannot be halved further: all of it attends
TOKENS = 1024  # of a transformer: those of DiT at its paper's largest latents
DIGITS = (1, 8, 8)

# From images of so many pixels on.  Karras et al. 2022, table 7, for 64; Song et al. 2021's code
# for CelebA-HQ at 256; Dhariwal & Nichol 2021, table of hyperparameters, for 128 and 256.
LARGER: Mapping[str, Mapping[int, Mapping[str, Any]]] = {
    "ddpmpp": {
        64: {"multipliers": [1, 2, 2, 2]},
        256: {"multipliers": [1, 1, 2, 2, 2, 2, 2], "blocks": 2},
    },
    "ncsnpp": {
        64: {"multipliers": [1, 2, 2, 2]},
        256: {"multipliers": [1, 1, 2, 2, 2, 2, 2], "blocks": 2, "dropout": 0.0},
    },
    "adm": {
        128: {"width": 256, "multipliers": [1, 1, 2, 3, 4], "blocks": 2, "dropout": 0.0},
        256: {"width": 256, "multipliers": [1, 1, 2, 2, 4, 4], "blocks": 2, "dropout": 0.0},
    },
    # Of latents up to 64; larger images are halved down to those by blocks of the first width.
    "edm2": {128: {"multipliers": [1, 1, 2, 3, 4]}, 256: {"multipliers": [1, 1, 1, 2, 3, 4]}},
}

# Networks that learn the embedded digits in minutes on two cores: those of examples/digits.
SMALL: Mapping[str, Mapping[str, Any]] = {
    "ddpmpp": {"width": 32, "multipliers": [1, 2], "blocks": 2, "attention": [4]},
    "ncsnpp": {"width": 32, "multipliers": [1, 2], "blocks": 2, "attention": [4]},
    "adm": {"width": 32, "multipliers": [1, 2], "blocks": 1, "attention": [4], "head_channels": 32},
    "edm2": {
        "width": 32, "multipliers": [1, 2], "blocks": 2, "attention": [4], "head_channels": 32,
    },
    "dit": {"width": 96, "depth": 4, "heads": 4, "patch": 2},
    "refinenet": {"width": 16},
}  # fmt: skip


def fitted(
    name: str, shape: Sequence[int], given: Mapping[str, Any], *, digits: bool = False
) -> dict[str, Any]:
    """Return the options that differ from the network's defaults so as to fit the samples.

    Args:
        name: of a network of ``NETWORKS``.
        shape: of a sample.
        given: options that somebody gave; none of them is returned.
        digits: whether the samples are the embedded digits, which a small network learns.

    Raises:
        ValueError: no levels or patches fit the size, and none were given.

    """
    defaults = {n: _plain(each.default) for n, each in taken(NETWORKS[name]).items()}
    own: dict[str, Any] = {}
    if digits and tuple(shape) == DIGITS:
        own = dict(SMALL.get(name, {}))
        if "multipliers" in given:
            own.pop("attention", None)  # which is at a resolution of its multipliers
    elif "multipliers" not in given:
        for size, options in LARGER.get(name, {}).items():
            own = dict(options) if shape[-1] >= size else own
    if name in UNETS:
        if "multipliers" not in given:
            own["multipliers"] = _halved(shape, own.get("multipliers", defaults["multipliers"]))
        if "attention" not in own:
            levels = len(given.get("multipliers", own.get("multipliers")))
            size = given.get("size", shape[-1])
            own["attention"] = _attended(size, levels, defaults["attention"])
    if name == "dit" and "patch" not in own | dict(given):
        own["patch"] = _patch(shape, defaults["patch"])
    return {field: each for field, each in own.items()
            if field not in given and defaults[field] != each}  # fmt: skip


def refuse_sizes(name: str, options: Mapping[str, Any], shape: Sequence[int]) -> None:
    """Refuse samples whose sizes a network cannot halve, or cut into patches, as it would.

    Args:
        name: of a network of ``NETWORKS``.
        options: all of the network's.
        shape: of a sample.

    Raises:
        ValueError: they do not fit, with what they should be multiples of.

    """
    multiple, why, sizes = 1, "halves them", shape[1:]
    if name in UNETS:
        multiple = 2 ** (len(options["multipliers"]) - 1)
        why = f"with multipliers {options['multipliers']} halves them"
    elif name in ("refinenet", "unet"):
        multiple = 2
    elif name == "dit":
        multiple, why = options["patch"], f"with patch {options['patch']} cuts them"
    elif name == "unet1d":
        multiple, sizes = 2 ** (len(options["widths"]) - 1), shape[:1]
        why = f"with widths {options['widths']} halves them"
    if any(size % multiple for size in sizes):
        raise ValueError(
            f"samples are of shape {tuple(shape)}, but network.name {name!r} {why}: expected "
            f"multiples of {multiple}, or other network.options"
        )


def _halved(shape: Sequence[int], multipliers: Sequence[int]) -> list[int]:
    """Return the multipliers of as many levels as the size allows."""
    height, width = shape[1:]
    levels = 1
    while levels < len(multipliers) and not (height % 2**levels or width % 2**levels):
        if min(height, width) >> levels < SMALLEST:
            break
        levels += 1
    lowest = max(height, width) >> (levels - 1)
    if lowest > LARGEST:
        raise ValueError(
            f"samples are of shape {tuple(shape)}, whose sizes can be halved to {lowest} only, "
            f"where attention is too much: expected other sizes, as `pydiffcore dataset make "
            f"--size {_rounded(max(height, width))}` makes them, or network.options.multipliers, "
            "one per level"
        )
    return list(multipliers[:levels])


def _rounded(size: int) -> int:
    return max(32, 32 * round(size / 32))


def _attended(size: int, levels: int, wanted: Sequence[int]) -> list[int]:
    """Return the resolutions nearest to those wanted; none that is more than twice or half."""
    found: list[int] = []
    for each in wanted:
        near = min((size >> level for level in range(levels)), default=size,
                   key=lambda r: abs(math.log2(max(r, 1) / each)))  # fmt: skip
        if each <= 2 * near and near <= 2 * each and near not in found:
            found.append(near)
    return found


def _patch(shape: Sequence[int], smallest: int) -> int:
    """Return the smallest patch that divides the sizes into at most TOKENS."""
    height, width = shape[1:]
    for patch in (*range(smallest, max(smallest, min(height, width) // 4) + 1), 1):
        if not (height % patch or width % patch) and height * width // patch**2 <= TOKENS:
            return patch
    raise ValueError(
        f"samples are of shape {tuple(shape)}, whose sizes no patch divides into at most {TOKENS} "
        "tokens: expected other sizes, or network.options.patch"
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
