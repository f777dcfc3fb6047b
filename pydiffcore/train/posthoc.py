# SPDX-License-Identifier: Apache-2.0
"""An average of any width, made afterwards of averages that were kept during a training.

A power-function average at time T weighs the weights of time t by

    p(t) = (gamma + 1) t^gamma / T^(gamma + 1),       0 < t <= T,

and those of two exponents, kept at some times, span nearly every other: the one that is wanted is
their combination with the least squared difference of profiles.  The paper solves that without a
constraint, and its coefficients need not add up to 1: with 8 snapshots they miss it by up to 12 %,
which is the error of every weight's mean.  EDM2's own layers normalise it away; others do not, so
that here they add up to 1 unless the paper's are asked for.

Source: Karras et al. 2024 (arXiv 2312.02696), section 3 and appendix C.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["combined", "exponent", "weights", "width"]


def width(gamma: float) -> float:
    """Return the relative deviation of t^gamma on [0, 1]: √(γ+1) / ((γ+2) √(γ+3)).

    Raises:
        ValueError: gamma is not above −1.

    """
    if not gamma > -1:
        raise ValueError(f"gamma is {gamma}, expected a number above -1")
    return float(np.sqrt(gamma + 1) / ((gamma + 2) * np.sqrt(gamma + 3)))


@lru_cache(maxsize=64)
def exponent(relative: float) -> float:
    """Return the gamma above 0 whose profile has this relative width.

    It is the largest root of γ³ + 7γ² + (16 − r⁻²)γ + (12 − r⁻²) = 0.

    Raises:
        ValueError: the width is outside (0, 0.28]; that of gamma = 0 is 1/√12 = 0.2887.

    """
    if not 0 < relative <= 0.28:
        raise ValueError(f"width is {relative}, expected a number in (0, 0.28]")
    inverse = relative**-2
    roots = np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse])
    return float(roots[np.abs(roots.imag) < 1e-9].real.max())


def _product(
    gamma: NDArray[np.float64], at: NDArray[np.float64], other: NDArray[np.float64],
    other_at: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """∫ p q dt of two profiles: (γ+1)(δ+1) min(T, S)^(γ+δ+1) / ((γ+δ+1) T^(γ+1) S^(δ+1))."""
    last = np.minimum(at, other_at)
    ratio = (last / at) ** gamma * (last / other_at) ** other  # in [0, 1], whatever the exponents
    return (gamma + 1) * (other + 1) / (gamma + other + 1) * ratio * last / (at * other_at)


def weights(
    kept: Sequence[tuple[float, float]], wanted: tuple[float, float], *, constrained: bool = True
) -> NDArray[np.float64]:
    """Return the coefficients of kept averages in the average that is wanted, [len(kept)].

    Args:
        kept: (width, time) of each, the time in steps or images.
        wanted: (width, time); the time is at most the last of those kept.
        constrained: whether they add up to 1; False gives those of the paper, which need not.

    Raises:
        ValueError: nothing is kept, a time is not above 0, or the wanted one is later than all.

    """
    if not kept:
        raise ValueError("kept is empty, expected at least one average")
    gamma = np.array([exponent(each) for each, _ in kept])
    at = np.array([time for _, time in kept], np.float64)
    if not (at > 0).all() or not 0 < wanted[1] <= at.max():
        raise ValueError(
            f"times are {at.tolist()} and {wanted[1]}, expected numbers above 0, and to want none "
            "later than the last that was kept"
        )
    gram = _product(gamma[:, None], at[:, None], gamma[None], at[None])
    right = _product(gamma, at, np.array(exponent(wanted[0])), np.array(wanted[1]))
    scale = np.sqrt(np.diag(gram))  # early profiles are tall and thin
    sides = np.stack([right / scale, 1 / scale], axis=1)
    solved = np.linalg.lstsq(gram / np.outer(scale, scale), sides, rcond=1e-12)[0]
    free, towards = (solved / scale[:, None]).T
    if not constrained:
        return np.asarray(free, np.float64)
    # Of all that add up to 1 the nearest, in the metric of the profiles: Lagrange's condition.
    return np.asarray(free + towards * (1 - free.sum()) / towards.sum(), np.float64)


def combined(
    snapshots: Iterable[Mapping[str, Tensor]],
    kept: Sequence[tuple[float, float]],
    wanted: tuple[float, float],
    parameters: Collection[str] | None = None,
    *,
    constrained: bool = True,
) -> dict[str, Tensor]:
    """Return the tensors of the wanted average, in float32.

    Args:
        snapshots: tensors of each average by their names, each a mapping of its own, read one at a
            time: an iterator that loads them keeps up to four in memory, and the sums in float64.
        kept, wanted, constrained: of :func:`weights`.
        parameters: names of the tensors that were averaged, as ``dict(network.named_parameters())``
            has them; all others, as fixed frequencies, are the latest snapshot's as they are.
            None: all in floating point but those that no snapshot has another of.

    Raises:
        ValueError: the snapshots differ in their names, are not as many as ``kept``, or lack one
            of ``parameters``.

    """
    factors = weights(kept, wanted, constrained=constrained).tolist()
    newest = int(np.argmax([time for _, time in kept]))
    first: Mapping[str, Tensor] = {}
    latest: Mapping[str, Tensor] = {}
    sums: dict[str, Tensor] = {}
    averaged = set(parameters or ())
    read = -1
    for read, each in enumerate(snapshots):
        if read == 0:
            first = each
            if lacking := sorted(averaged - set(each)):
                raise ValueError(f"parameters has {lacking}, which the snapshots do not")
        if set(each) != set(first):
            raise ValueError("snapshots differ in the names of their tensors")
        if read >= len(kept):
            continue
        if read == newest:
            latest = each
        if parameters is None:
            averaged |= {name for name in each if _differs(each[name], first[name])}
        for name in each if parameters is None else averaged:
            if name not in sums:
                sums[name] = torch.zeros_like(each[name], dtype=torch.float64)
            sums[name] += factors[read] * each[name].double()
    if read + 1 != len(kept):
        raise ValueError(f"there are {read + 1} snapshots, expected {len(kept)} as kept")
    return {
        name: sums[name].to(torch.promote_types(last.dtype, torch.float32))
        if name in averaged
        else last.clone()
        for name, last in latest.items()
    }


def _differs(x: Tensor, first: Tensor) -> bool:
    return x.is_floating_point() and not torch.equal(x, first)
