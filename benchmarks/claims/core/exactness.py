# SPDX-License-Identifier: Apache-2.0
"""Every sampler's fused run equals its own direct run in float64.

n = 1, 2, 5, 18, 100 levels up to σ = 80, a three-dimensional Gaussian mixture with its exact
denoiser, 64 samples; the figure is the largest difference over n, relative to the largest value.
"""

import torch

import pydiffcore
from benchmarks.claims.claim import Figure, main
from benchmarks.claims.core.cases import CASES, MIXTURE


def measure():
    for case in CASES:
        worst = 0.0
        for n in (1, 2, 5, 18, 100):
            sigmas = case.levels(n)
            plan = pydiffcore.trace(case.sampler, sigmas, **case.options)
            kw = {"shape": (3,), "seeds": range(64)}
            fused = pydiffcore.sample(MIXTURE, plan, dtype=torch.float64, **kw)
            direct = pydiffcore.direct(case.sampler, MIXTURE, sigmas, **kw, **case.options)
            worst = max(worst, float((fused - direct).abs().max() / direct.abs().max()))
        yield Figure(case.id, worst, "<= 1e-10")


if __name__ == "__main__":
    main(measure)
