# SPDX-License-Identifier: Apache-2.0
"""What a run is called with: checked, and what was left out filled in from what came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pydiffcore.denoiser import Denoiser
from pydiffcore.ops.noise import checked_seeds, checked_shape
from pydiffcore.plan import Plan
from pydiffcore.prediction import denoised

__all__ = ["Given", "Model", "Noise", "given", "matching"]

Model = Denoiser | Callable[..., Tensor]
Noise = Any  # Tensor, array, sequence of either, Generator, function of two levels, or None


class Given(NamedTuple):
    """Arguments of a run: the shape of a sample, N seeds, [N, *shape] or None, noise, dtype."""

    shape: Sequence[int]
    seeds: list[int]
    x: Tensor | None
    noise: Tensor | torch.Generator | Callable[..., Tensor] | None
    dtype: torch.dtype


def given(
    plan: Plan,
    shape: Sequence[int] | None,
    seeds: Any,
    x: Any,
    noise: Noise,
    dtype: torch.dtype | None,
) -> Given:
    """Return the arguments of a run, those that are None from the others.

    The shape is that of x or of the noise; seeds are needed where something is drawn from them;
    the dtype is float64 where x or the noise is, and float32 otherwise.

    Raises:
        TypeError, ValueError: an argument is missing or does not fit the others.
    """
    x, noise = _tensor(x), _tensor(noise)
    if isinstance(noise, list | tuple) and not plan.draws:
        noise = None
    stacks = [each for each in (x, noise) if isinstance(each, Tensor)]
    if dtype is None:
        wide = any(each.dtype == torch.float64 for each in stacks)
        dtype = torch.float64 if wide else torch.float32
    if seeds is None:
        seeds = range(_samples(plan, x, noise))
    found = checked_seeds(seeds)
    if not found:
        raise ValueError("seeds is empty, expected one seed per sample")
    if shape is None:
        if not stacks:
            raise ValueError("shape is missing: the shape of one sample, or x or noise that has it")
        shape = x.shape[1:] if x is not None else stacks[0].shape[2:]
    shape = checked_shape(shape)
    for name, each, axis in (("x", x, 0), ("noise", noise, 1)):
        if isinstance(each, Tensor):
            _check(name, each, axis, len(found), shape)
    return Given(shape, found, x, noise, dtype)


def _check(name: str, each: Tensor, axis: int, samples: int, shape: tuple[int, ...]) -> None:
    """Refuse a tensor that has not so many samples of this shape, from an axis on."""
    came = f"{name} has shape {tuple(each.shape)}"
    if each.ndim <= axis or each.shape[axis] != samples:
        raise ValueError(f"{came}, expected {samples} samples on axis {axis}")
    expected = (*each.shape[:axis], samples, *shape)
    if tuple(each.shape) != expected:
        raise ValueError(f"{came}, expected {expected}: shape is that of one sample")


def _tensor(given: Any) -> Any:
    """Return an array, or a list of arrays or tensors, as a tensor; anything else as it is."""
    if isinstance(given, np.ndarray):
        native = given.dtype.newbyteorder("=")
        return torch.from_numpy(np.array(given, native, order="C"))  # torch takes no other
    several = isinstance(given, list | tuple) and len(given) > 0
    if several and all(isinstance(each, Tensor | np.ndarray) for each in given):
        return torch.stack([_tensor(each) for each in given])
    return given


def _samples(plan: Plan, x: Tensor | None, noise: Any) -> int:
    """Return the number of samples of a run that draws nothing from seeds."""
    if x is None:
        raise ValueError("seeds is missing: one per sample, as x is drawn from them")
    if plan.draws and noise is None:
        raise ValueError(f"seeds is missing: {plan.sampler} draws its noise from them")
    if not isinstance(x, Tensor) or x.ndim == 0:
        raise ValueError(f"x is {x!r}, expected a tensor of states, [N, *shape]")
    return len(x)


def matching(denoiser: Model, plan: Plan) -> Denoiser:
    """Return the denoiser, made of a bare function if need be, if it is what the plan expects."""
    if not isinstance(plan, Plan):
        adaptive = (
            "; an adaptive sampler has none, as its steps depend on what it computes: "
            "pydiffcore.direct runs it"
        )
        raise TypeError(
            f"plan is {type(plan).__name__}, expected a Plan: pydiffcore.trace(...)"
            f"{adaptive * callable(plan)}"
        )
    model = denoiser if isinstance(denoiser, Denoiser) else Denoiser(denoiser, denoised())
    if model.prediction.name != plan.prediction:
        raise ValueError(
            f"plan was traced for the prediction {plan.prediction}, but the denoiser's is "
            f"{model.prediction.name}: trace it with that, or use plan.bind(prediction)"
        )
    if plan.learned_variance and not model.learned_variance:
        raise ValueError(
            f"plan {plan.sampler} reads a learned variance, which this denoiser does not have: "
            "Denoiser(..., learned_variance=True) for a network with twice the channels"
        )
    return model
