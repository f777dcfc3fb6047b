# SPDX-License-Identifier: Apache-2.0
"""The sampler that a cell's paper came with, on that paper's levels, as a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from pydiffcore import levels, samplers
from pydiffcore.levels import Levels
from pydiffcore.plan import Plan, trace
from pydiffcore.train.presets import Cell

__all__ = ["CHOICES", "native_choice", "native_plan"]

REPEATS = 5  # NCSNv2's Langevin steps at each level
SNR = 0.16  # of the corrector, Song et al. 2021, appendix G
FIRST_TIME = 1e-3  # where VP and sub-VP sampling stops, the same, appendix C

Choice = tuple[Levels, dict[str, Any]]


def native_plan(
    cell: Cell, n: int | None = None, *, bounds: tuple[float, float] | None = None
) -> Plan:
    """Return the plan of the sampler and the levels that a cell's paper draws with.

    ===================  ===============================================  ==================  =====
    sampler              levels                                           network calls       n
    ===================  ===============================================  ==================  =====
    ddpm                 the table's entries, spread evenly               n                   all
    langevin             of the training, or as many in the same range    5n + 1              all
    predictor_corrector  t evenly; one Langevin step, δ = 2·0.16², each   2n                  1000
    euler_maruyama       t evenly down to 1e-3                            n                   1000
    heun                 karras, 0.002 to 80, ρ = 7; 32 of EDM2's         2n − 1              18
    euler                t evenly                                         n                   100
    ===================  ===============================================  ==================  =====

    Args:
        cell: of ``PRESETS``, or one of your own with one of these samplers.
        n: number of steps, or of levels for langevin; the last column where None.
        bounds: of the data, as (-1, 1) of images; ddpm clips its prediction to them, others do not.

    Raises:
        ValueError: the cell's sampler is none of these, or n is more than its table has.

    Source: Ho et al. 2020 (arXiv 2006.11239); Nichol & Dhariwal 2021 (arXiv 2102.09672), section 4;
    Song & Ermon 2020 (arXiv 2006.09011), Algorithm 1 and Technique 4; Song et al. 2021
    (arXiv 2011.13456), appendices C, D and G; Karras et al. 2022 (arXiv 2206.00364), Algorithm 1;
    Karras et al. 2024 (arXiv 2312.02696); Liu et al. 2023 (arXiv 2209.03003).
    """
    chosen, options = native_choice(cell, n)
    clip = bounds if cell.sampler == "ddpm" else None
    sampler = getattr(samplers, cell.sampler)
    return trace(sampler, chosen, cell.prediction, clip=clip, **options)


def native_choice(cell: Cell, n: int | None = None, visited: Levels | None = None) -> Choice:
    """Return the levels and the sampler's options of :func:`native_plan`.

    Args:
        cell, n: of :func:`native_plan`.
        visited: levels in the place of the paper's, to which the options are fitted.

    Raises:
        ValueError: as :func:`native_plan`.
    """
    if cell.sampler not in CHOICES:
        raise ValueError(f"cell.sampler is {cell.sampler!r}, expected one of {', '.join(CHOICES)}")
    chosen, options = CHOICES[cell.sampler](cell, n)
    if visited is None:
        return chosen, options
    if "step" in options:
        options = {**options, "step": samplers.ncsnv2_step(visited, options["repeats"])}
    return visited, options


def _ddpm(cell: Cell, n: int | None) -> Choice:
    size = cell.process.size
    if size is None:
        raise ValueError(
            f"sampler is ddpm, expected a process with a table, not {cell.process.name}"
        )
    # What loss "variance" learns is ln Var[F], no place between the two variances of a step.
    variance = "learned_range" if cell.loss in ("hybrid", "vlb") else "small"
    return levels.space_timesteps(size if n is None else n, cell.process), {"variance": variance}


def _langevin(cell: Cell, n: int | None) -> Choice:
    trained = cell.law.levels
    if trained is None:
        raise ValueError(
            f"sampler is langevin, expected a law of discrete levels, not {cell.law.name}"
        )
    low, high = float(np.min(trained)), float(np.max(trained))
    count = len(trained) if n is None else n
    chosen = levels.exponential(count, low, high)
    step = samplers.ncsnv2_step(chosen, REPEATS)
    return chosen, {"convention": "ncsnv2", "repeats": REPEATS, "step": step}


def _predictor_corrector(cell: Cell, n: int | None) -> Choice:
    return levels.uniform_t(1000 if n is None else n, cell.process), {"delta": 2 * SNR**2}


def _euler_maruyama(cell: Cell, n: int | None) -> Choice:
    count = 1000 if n is None else n
    chosen = levels.uniform_t(count, cell.process, t_min=FIRST_TIME, final_zero=False)
    return chosen, {"process": cell.process}


def _heun(cell: Cell, n: int | None) -> Choice:
    steps = 32 if cell.network == "edm2" else 18
    return levels.karras(steps if n is None else n), {}


def _euler(cell: Cell, n: int | None) -> Choice:
    return levels.uniform_t(100 if n is None else n, cell.process), {}


CHOICES: Mapping[str, Callable[[Cell, int | None], Choice]] = MappingProxyType(
    {
        "ddpm": _ddpm,
        "langevin": _langevin,
        "predictor_corrector": _predictor_corrector,
        "euler_maruyama": _euler_maruyama,
        "heun": _heun,
        "euler": _euler,
    }
)
