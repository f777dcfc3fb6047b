# SPDX-License-Identifier: Apache-2.0
"""The samplers that the presets' papers have, on their own levels, and how near samples come."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import pydiffcore
from pydiffcore import Denoiser, Plan, levels, samplers
from pydiffcore.train.trainer import Trainer

FloatArray = NDArray[np.float64]
REPEATS = 5  # Langevin steps per level, NCSNv2's for CIFAR-10
SNR = 0.16  # of the corrector, Song et al. 2021 (arXiv 2011.13456), appendix G


def plan_of(preset: str, trainer: Trainer) -> Plan:
    """Return a preset's sampler as its paper runs it, of the slow ones with fewer levels.

    DDPM's and iDDPM's code clip D to the range of the data.  The last level of the cosine table is
    20,000, where an error of 1 % in eps is one of 200 in D.
    """
    cell = trainer.cell
    process, made, clip = cell.process, levels.karras(18), None
    options: dict[str, Any] = {}
    if preset in ("ddpm", "iddpm"):
        made, clip = levels.trailing(250, process), (-1.0, 1.0)  # 0.3 % of the data lie outside
        options["variance"] = "learned_range" if cell.learned_variance else "small"
    elif preset == "ncsn":
        assert cell.law.levels is not None
        made = levels.explicit(np.append(cell.law.levels[::-1], 0.0), process)
        options = {"repeats": REPEATS, "convention": "ncsnv2"}
        options["step"] = samplers.ncsnv2_step(made, REPEATS)
    elif preset == "ncsnpp-ve":
        made = levels.ve(250, 0.02, 100.0)
        options["delta"] = 2 * SNR**2
    elif preset in ("ddpmpp-vp", "subvp"):
        made = levels.uniform_t(500, process)
        options["process"] = process
    elif preset == "edm2":
        made = levels.karras(32)
    elif preset == "flow":
        made = levels.uniform_t(100, process)
    sampler = getattr(samplers, cell.sampler)
    return pydiffcore.trace(sampler, made, cell.prediction, clip=clip, **options)


def drawn(trainer: Trainer, plan: Plan, count: int) -> FloatArray:
    """Return samples of the averaged network, float64 [count, *shape]."""
    cell = trainer.cell
    network = trainer.averages["ema"].eval()
    denoiser = Denoiser(network, cell.prediction, learned_variance=cell.learned_variance)
    samples = pydiffcore.sample(denoiser, plan, shape=trainer.shape, seeds=range(count))
    return np.asarray(samples.double().numpy())


def energy(x: FloatArray, y: FloatArray) -> float:
    """Return 2 E|x − y| − E|x − x'| − E|y − y'|, unbiased.  Székely & Rizzo 2013, eq. 5."""

    def mean(a: FloatArray, b: FloatArray, pairs: int) -> float:
        return float(torch.cdist(torch.from_numpy(a), torch.from_numpy(b)).sum()) / pairs

    n, m = len(x), len(y)
    return 2 * mean(x, y, n * m) - mean(x, x, n * (n - 1)) - mean(y, y, m * (m - 1))
