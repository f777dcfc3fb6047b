# SPDX-License-Identifier: Apache-2.0
"""Starts of a search: states at the first level, whose noise they must have."""

import math
from typing import Any


def check_starts(denoiser: Any, x: Any, name: str, high: float, other: str) -> None:
    """Refuse what is no function D(x, sigma), and starts without the noise of their level."""
    if not callable(denoiser):
        raise TypeError(
            f"denoiser is {type(denoiser).__name__}, expected a function D(x, sigma): "
            f"{other} takes a pydiffcore.Denoiser, and draws x from seeds"
        )
    if not hasattr(x, "shape"):
        raise TypeError(
            f"x is {type(x).__name__}, expected starts [B, *] of deviation {name} = {high:g}, as "
            f"an array or tensor: {other} draws them from seeds"
        )
    rms = math.sqrt(float((x * x).mean()))
    if _too_small((rms / high) ** 2, math.prod(x.shape)):
        raise ValueError(
            f"x has root mean square {rms:.3g}, expected at least that of the noise, {name} = "
            f"{high:g}: starts are x0 + sigma z, unit normals times {high:g} where that is high"
        )


def _too_small(share: float, count: int) -> bool:
    """Whether noise of unit variance has so small a mean square over so many elements never.

    Less than a quarter, where Chernoff's bound on it, (q e^(1-q))^(count/2), is below 1e-6.
    """
    if share >= 0.25 or not math.isfinite(share):
        return False
    return share == 0.0 or count / 2 * (1 - share + math.log(share)) < math.log(1e-6)
