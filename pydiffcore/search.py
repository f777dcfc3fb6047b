# SPDX-License-Identifier: Apache-2.0
"""The search for levels, on a network: starts from seeds, guidance and clipping included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pydiffcore import levels as rules
from pydiffcore.denoiser import Denoiser
from pydiffcore.direct import DirectDenoiser
from pydiffcore.levels import Levels, Truncation
from pydiffcore.ops.noise import INITIAL, checked_seeds, normal
from pydiffcore.prediction import denoised

__all__ = ["optimal_levels", "truncation_error"]

Model = Denoiser | Callable[..., Tensor]


@torch.no_grad()
def optimal_levels(
    denoiser: Model,
    n: int,
    sampler: Callable[..., Any],
    *,
    shape: Sequence[int],
    seeds: Any,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    clip: tuple[float, float] | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    **search: Any,
) -> Levels:
    """Return the n steps that suit a network: :func:`pydiffcore.levels.optimal` from seeds.

    Args:
        denoiser: as for :func:`pydiffcore.sample`; all seeds form one batch.
        n, sampler, sigma_min, sigma_max: as for :func:`pydiffcore.levels.optimal`.
        shape: shape of one sample.
        seeds: of the starts that the levels are fitted to; others than those that they are
            judged by.
        clip: bounds of D, or None.
        dtype, device: of every tensor.
        **search: ``process``, ``points``, ``substeps``, ``rounds`` and the sampler's own options.

    """
    x = sigma_max * _unit(seeds, shape, dtype, device)
    D = _denoise(denoiser, clip)
    return rules.optimal(D, n, sampler, x, sigma_min=sigma_min, sigma_max=sigma_max, **search)


@torch.no_grad()
def truncation_error(
    denoiser: Model,
    levels: Levels,
    sampler: Callable[..., Any],
    *,
    shape: Sequence[int],
    seeds: Any,
    clip: tuple[float, float] | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    **search: Any,
) -> Truncation:
    """Return a network's errors against sigma: :func:`pydiffcore.levels.truncation` from seeds.

    Args:
        denoiser, shape, seeds, clip, dtype, device: as for :func:`optimal_levels`.
        levels, sampler: what is run.
        **search: ``substeps`` and the sampler's own options.

    """
    x = float(levels.sigma[0]) * _unit(seeds, shape, dtype, device)
    return rules.truncation(_denoise(denoiser, clip), levels, sampler, x, **search)


def _unit(
    seeds: Any, shape: Sequence[int], dtype: torch.dtype, device: torch.device | str
) -> Tensor:
    seeds = checked_seeds(seeds)
    return normal(seeds, shape, purpose=INITIAL, stream=0, dtype=dtype, device=device)


def _denoise(denoiser: Model, clip: tuple[float, float] | None) -> DirectDenoiser:
    model = denoiser if isinstance(denoiser, Denoiser) else Denoiser(denoiser, denoised())
    return DirectDenoiser(model, clip)
