# SPDX-License-Identifier: Apache-2.0
"""The layout of a U-Net as data: which block sits at which level, with how many channels.

    encoder:  n blocks per level, after a halving one at every level but the first
    decoder:  two middle blocks, then n + 1 blocks per level that each also read what the
              encoder's blocks left, before them a doubling one at every level but the last

The layout is that of Song et al. 2021 (arXiv 2011.13456), Dhariwal & Nichol 2021
(arXiv 2105.05233) and Karras et al. 2022 and 2024, who differ in what a block is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

__all__ = ["Place", "attended_levels", "decoder", "encoder"]


@dataclass(frozen=True)
class Place:
    """Where a block sits.

    Args:
        level: 0 is full resolution, each further one half of it.
        inputs: channels of what the block before leaves.
        outputs: channels of what it leaves.
        skip: channels of the encoder's tensor that it reads too, 0 for none.
        resample: −1 for a block that halves the resolution, +1 for one that doubles it.
        attends: whether attention follows.
    """

    level: int
    inputs: int
    outputs: int
    skip: int = 0
    resample: int = 0
    attends: bool = False


def encoder(
    first: int, widths: Sequence[int], blocks: int, attended: Collection[int]
) -> list[Place]:
    """Return the places of the encoder, whose input has ``first`` channels."""
    places, channels = [], first
    for level, width in enumerate(widths):
        if level:
            places.append(Place(level, channels, channels, resample=-1))
        for _ in range(blocks):
            places.append(Place(level, channels, width, attends=level in attended))
            channels = width
    return places


def decoder(
    first: int,
    widths: Sequence[int],
    blocks: int,
    attended: Collection[int],
    *,
    every_block_attends: bool = True,
) -> list[Place]:
    """Return the places of the decoder; they read the encoder's tensors in reverse order."""
    skips = [first] + [place.outputs for place in encoder(first, widths, blocks, ())]
    last, channels = len(widths) - 1, widths[-1]
    places = [Place(last, channels, channels, attends=True), Place(last, channels, channels)]
    for level, width in reversed(list(enumerate(widths))):
        if level < last:
            places.append(Place(level, channels, channels, resample=1))
        for i in range(blocks + 1):
            attends = level in attended and (every_block_attends or i == blocks)
            places.append(Place(level, channels, width, skip=skips.pop(), attends=attends))
            channels = width
    return places


def attended_levels(size: int, levels: int, attention: Sequence[int]) -> set[int]:
    """Return the levels whose resolution is in ``attention``, for images of ``size`` pixels.

    Raises:
        ValueError: the size cannot be halved that often, or has no level of such a resolution.
    """
    if size < 1 or size % 2 ** (levels - 1):
        raise ValueError(f"size is {size}, expected a multiple of {2 ** (levels - 1)}")
    resolutions = [size >> level for level in range(levels)]
    for resolution in attention:
        if resolution not in resolutions:
            raise ValueError(f"attention has {resolution}, the resolutions are {resolutions}")
    return {resolutions.index(resolution) for resolution in attention}
