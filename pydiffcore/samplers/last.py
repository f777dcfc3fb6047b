# SPDX-License-Identifier: Apache-2.0
"""How a sampler ends: with another method for its last steps, or denoised once more.

Levels that end in 0 are each sampler's own business (a last step of first order, as a rule), and
``final_zero=False`` stops at the lowest level; these two wrap any sampler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydiffcore.levels import Levels, explicit
from pydiffcore.samplers.euler import euler
from pydiffcore.samplers.multistep import at_least

__all__ = ["denoise_to_zero", "ending"]

Sampler = Callable[..., Any]


def _name(sampler: Sampler) -> str:
    return str(getattr(sampler, "__name__", None) or _name(sampler.func))  # type: ignore[attr-defined]


def _check(**samplers: Any) -> None:
    for name, sampler in samplers.items():
        if not callable(sampler):
            raise TypeError(f"{name} is {sampler!r}, expected a function such as samplers.heun")


def ending(sampler: Sampler, last: Sampler = euler, steps: int = 1) -> Sampler:
    """Return the sampler with its last ``steps`` done by another one, Euler's by default.

    "Lower order at the end" of Lu et al. 2022 (arXiv 2211.01095, Appendix: stabilises few steps)
    for any pair of methods; each sees only its own part of the levels, so that a history starts
    anew.  Options go to the first.

    Args:
        sampler: the first steps.
        last: the last ones.
        steps: how many they are; the first sampler needs at least one more.

    Raises:
        ValueError: when it runs, on levels that have no more steps than that.

    """
    _check(sampler=sampler, last=last)
    at_least("steps", steps, 1)

    def ended(x: Any, denoise: Any, levels: Levels, noise: Any, **options: Any) -> Any:
        cut = len(levels) - steps
        if cut < 1:
            raise ValueError(
                f"steps is {steps}, but {levels.name} has {len(levels)}: "
                f"expected at least one more, for {_name(sampler)}"
            )
        first, rest = (
            explicit(part, levels.process, levels.rising)
            for part in (levels.sigma[: cut + 1], levels.sigma[cut:])
        )
        return last(sampler(x, denoise, first, noise, **options), denoise, rest, noise)

    ended.__name__ = f"ending({_name(sampler)}, {_name(last)}, {steps})"
    return ended


def denoise_to_zero(sampler: Sampler) -> Sampler:
    """Return the sampler followed by D at its last level: a call more, for levels that end above 0.

    Samplers whose step to 0 is Euler's do the same on levels that end in 0; multistep ones then
    extrapolate.  Jolicoeur-Martineau et al. 2020 (arXiv 2009.05475), section 3.1.

    Args:
        sampler: any sampler; its options are passed on.

    """
    _check(sampler=sampler)

    def denoised(x: Any, denoise: Any, levels: Levels, noise: Any, **options: Any) -> Any:
        final = float(levels.sigma[-1])
        if final == 0:
            raise ValueError("levels end in 0, where nothing is left to denoise: final_zero=False")
        return denoise(sampler(x, denoise, levels, noise, **options), final)

    denoised.__name__ = f"denoise_to_zero({_name(sampler)})"
    return denoised
