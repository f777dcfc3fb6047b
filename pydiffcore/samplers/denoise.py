# SPDX-License-Identifier: Apache-2.0
"""What a sampler may ask of its denoiser: D(x, σ), D before clipping, a deviation it learnt."""

from __future__ import annotations

from typing import Any

__all__ = ["spread", "with_raw"]


def with_raw(denoise: Any, x: Any, sigma: float) -> tuple[Any, Any]:
    """Return (D after clipping, D before it) from one call; equal where nothing clips."""
    if hasattr(denoise, "with_raw"):
        return denoise.with_raw(x, sigma)
    D = denoise(x, sigma)
    return D, D


def spread(denoise: Any, z: Any, low: float, high: float) -> Any:
    """Return low^(1 − f) high^f z with f = (v + 1)/2 element by element, v the network's own.

    v is the second half of the last call's output; z is noise drawn since.
    """
    if not hasattr(denoise, "spread"):
        raise TypeError(
            "a learned variance needs a Denoiser(learned_variance=True), got a function"
        )
    return denoise.spread(z, low, high)
