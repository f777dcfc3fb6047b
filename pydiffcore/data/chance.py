# SPDX-License-Identifier: Apache-2.0
"""Words of Philox as a pure function of (seed, stream, element), for choices that are no noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pydiffcore.ops.noise import AUGMENTATION, reference_philox, seed_keys

__all__ = ["ORDER", "uniforms"]

ORDER = 7  # purpose of the orders of images: the first that pydiffcore.ops.noise leaves free
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def uniforms(seeds: Any, count: int, *, stream: int) -> NDArray[np.float64]:
    """Return numbers in (0, 1), [B, count]: (word + ½)·2⁻³² of each seed's words in their order."""
    keys = seed_keys(seeds)[:, None]
    blocks = np.arange(-(-count // 4), dtype=np.uint64)[None]
    words = reference_philox((blocks, 0, stream, AUGMENTATION), (keys & LOW, keys >> HALF))
    flat = np.stack(words, axis=-1).reshape(len(keys), -1)[:, :count]
    return (flat.astype(np.float64) + 0.5) * 2.0**-32
