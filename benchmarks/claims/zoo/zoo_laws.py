# SPDX-License-Identifier: Apache-2.0
"""Stochastic samplers draw from the law that they should: all at two step sizes, exact ones finely.

Figures are Kolmogorov-Smirnov distances of N = 100,000 samples; the critical one at level 1e-6 is
0.0085, and a distribution function that is off by 0.0137 anywhere is rejected with probability
above 0.99.  With 8 and 24 steps the data are Gaussian: the sampler is linear and its law at that
very step size a Gaussian whose moments follow from the plan.  Samplers with the exact marginals
also run 300 steps on a mixture, down to a level above 0, beside the mixture's own law there; two
exceptions to that have reasons: consistency, lcm and tcd read D as a sample, and alphafold3,
s_noise and step_scale miss the marginals on purpose, as separate draws for each stage do.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from scipy import stats

import pydiffcore
from benchmarks.claims.claim import Figure, main
from pydiffcore import exact

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "samplers"))

from test_law import MEAN, MIXED, STD, STOCHASTIC, fine_levels, gaussian_law

N = 100_000
CRITICAL = float(np.sqrt(-np.log(1e-6 / 2) / (2 * N)))
MIXTURE = exact.mixture([0.35, 0.65], [[-1.0], [0.8]], [0.25, 0.4])
GAUSSIAN = exact.gaussian(np.array([MEAN]), np.array([STD]))


def on_a_gaussian(case, n):
    """Distance to the law of n steps."""
    plan = pydiffcore.trace(case.sampler, case.levels(n), **case.options)
    out = pydiffcore.sample(GAUSSIAN, plan, shape=(1,), seeds=range(N)).double().numpy().ravel()
    return float(stats.kstest(out, "norm", gaussian_law(plan)).statistic)


def on_a_mixture(case, n):
    """Distance of n fine steps to the exact law at the last level."""
    sigmas = fine_levels(case, n)
    plan = pydiffcore.trace(case.sampler, sigmas, **case.options)
    start = np.random.default_rng(0)
    x = MIXTURE.sample(N, start) + sigmas.sigma[0] * start.standard_normal((N, 1))
    x = torch.as_tensor(x).float()
    out = pydiffcore.sample(MIXTURE, plan, shape=(1,), seeds=range(N), x=x)
    at = float(sigmas.sigma[-1])
    result = out.double().numpy().ravel()
    return float(stats.kstest(result, lambda v: MIXTURE.cdf(v, at)).statistic)


def measure():
    bar = f"<= {CRITICAL:.4f}"
    for case in STOCHASTIC:
        for n in (8, 24):
            yield Figure(f"{case.id}, {n} steps, Gaussian", on_a_gaussian(case, n), bar)
    for case in MIXED:
        yield Figure(f"{case.id}, 300 steps, mixture", on_a_mixture(case, 300), bar)


if __name__ == "__main__":
    main(measure)
