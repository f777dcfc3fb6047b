# SPDX-License-Identifier: Apache-2.0
"""What a sampler may ask of its denoiser: D(x, σ), and D before clipping."""

from __future__ import annotations

from typing import Any

__all__ = ["with_raw"]


def with_raw(denoise: Any, x: Any, sigma: float) -> tuple[Any, Any]:
    """Return (D after clipping, D before it) from one call; equal where nothing clips."""
    if hasattr(denoise, "with_raw"):
        return denoise.with_raw(x, sigma)
    D = denoise(x, sigma)
    return D, D
