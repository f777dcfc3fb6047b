# SPDX-License-Identifier: Apache-2.0
"""Analytic first step: where nearly all is noise, the network need not be asked for it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from pydiffcore.levels import Levels
from pydiffcore.samplers.denoise import spread, with_raw

__all__ = ["afs"]


class _FirstCallFree:
    """A denoiser whose first answer is x(1 − σ/sqrt(1 + σ²)): the noise of unit data's state."""

    def __init__(self, denoise: Any) -> None:
        self.denoise, self.asked = denoise, False

    def with_raw(self, x: Any, sigma: float) -> tuple[Any, Any]:
        if self.asked:
            return with_raw(self.denoise, x, sigma)
        self.asked = True
        total = math.hypot(1.0, sigma)
        D = 1 / (total * (total + sigma)) * x  # 1 − σ/total without its cancellation
        return D, D

    def __call__(self, x: Any, sigma: float) -> Any:
        return self.with_raw(x, sigma)[0]

    def spread(self, z: Any, low: float, high: float) -> Any:
        return spread(self.denoise, z, low, high)


def afs(sampler: Callable[..., Any]) -> Callable[..., Any]:
    """Return the sampler with its first network call replaced by D = x(1 − σ/sqrt(1 + σ²)).

    At the highest level x/sqrt(1 + σ²) is nearly the noise ε itself, so that D = x − σε needs no
    network; the plan has a call less.  Dockhorn et al. 2022 (GENIE, arXiv 2210.05475), section 5.

    Args:
        sampler: any sampler; its options are passed on.

    """
    if not callable(sampler):
        raise TypeError(f"sampler is {sampler!r}, expected a function such as samplers.heun")
    if isinstance(sampler, functools.partial):
        return functools.partial(afs(sampler.func), *sampler.args, **sampler.keywords)

    def first_step_free(x: Any, denoise: Any, levels: Levels, noise: Any, **options: Any) -> Any:
        return sampler(x, _FirstCallFree(denoise), levels, noise, **options)

    first_step_free.__name__ = f"afs({getattr(sampler, '__name__', type(sampler).__name__)})"
    return first_step_free
