# SPDX-License-Identifier: Apache-2.0
"""Stochastic samplers against the exact law.

On Gaussian data every sampler is linear, so that its law at any step size is a Gaussian whose
moments follow from the plan; on a mixture it approaches the exact law as the steps shrink.
The power: with N = 20,000 samples a Kolmogorov-Smirnov test at level 1e-6 has the critical distance
0.019 and rejects a distribution function that is off by 0.031 with probability above 0.99.
"""

import numpy as np
import pytest
import torch
from cases import STOCHASTIC, VE, VP, Case, ids
from scipy import stats

import pydiffcore
from pydiffcore import exact, levels, samplers

N = 20_000
MEAN, STD = 0.4, 0.7


def gaussian_law(plan):
    """Mean and deviation of the result where D is the exact denoiser of N(MEAN, STD²)."""
    K = plan.A.shape[1]
    mean, cov = np.zeros(K), np.zeros((K, K))
    cov[0, 0] = plan.sigma_init**2
    for row in range(plan.nfe + 1):
        A, b = plan.A[row].copy(), np.zeros(K)
        if row > 0:
            gain = STD**2 / (STD**2 + plan.sigma[row - 1] ** 2)
            coefficient = plan.B[row] + plan.B_raw[row]
            A[:, 0] += coefficient * gain
            b = coefficient * (1 - gain) * MEAN
        mean, cov = A @ mean + b, A @ cov @ A.T + plan.S[row] @ plan.S[row].T
    return mean[0], np.sqrt(cov[0, 0])


@pytest.mark.parametrize("case", STOCHASTIC, ids=ids(STOCHASTIC))
def test_law_on_a_gaussian_at_a_coarse_step(case):
    plan = pydiffcore.trace(case.sampler, case.levels(8), **case.options)
    data = exact.gaussian(np.array([MEAN]), np.array([STD]))
    x = pydiffcore.sample(data, plan, shape=(1,), seeds=range(N)).double().numpy().ravel()
    mean, std = gaussian_law(plan)
    assert stats.kstest(x, "norm", (mean, std)).pvalue > 1e-6
    assert abs(x.mean() - mean) < 5 * std / np.sqrt(N)
    assert abs(x.std() / std - 1) < 5 / np.sqrt(2 * N)


def fine_levels(case, n):
    if case.options.get("process") is VE:
        return levels.uniform_t(n, VE, t_min=0.05, t_max=0.75, final_zero=False)
    if "process" in case.options:
        return levels.uniform_t(n, case.options["process"], t_min=0.02, t_max=0.7, final_zero=False)
    return levels.karras(n, sigma_min=0.1, sigma_max=20.0, final_zero=False)


# these read D as a sample, which it is for a consistency model alone, or never settle at a level
OTHERWISE = [samplers.langevin, samplers.consistency, samplers.lcm, samplers.tcd]
OTHERWISE += [samplers.alphafold3]  # its longer steps leave less variance at any number of them
MIXED = [case for case in STOCHASTIC if case.sampler not in OTHERWISE]
MIXED = [case for case in MIXED if case.options.get("predictor") != "none"]
MIXED = [case for case in MIXED if not {"s_noise", "step_scale"} & set(case.options)]
# draws of their own for each stage: the law is approached at first order only (test_single.py)
MIXED = [case for case in MIXED if case.options.get("joint", True)]


@pytest.mark.parametrize("case", MIXED, ids=ids(MIXED))
def test_law_on_a_mixture_at_a_fine_step(case):
    data = exact.mixture([0.35, 0.65], [[-1.0], [0.8]], [0.25, 0.4])
    sigmas = fine_levels(case, 120)
    plan = pydiffcore.trace(case.sampler, sigmas, **case.options)
    start = np.random.default_rng(0)
    x0 = data.sample(N, start) + sigmas.sigma[0] * start.standard_normal((N, 1))
    out = pydiffcore.sample(data, plan, shape=(1,), seeds=range(N), x=torch.as_tensor(x0).float())
    at = float(sigmas.sigma[-1])
    distance = stats.kstest(out.double().numpy().ravel(), lambda v: data.cdf(v, at)).statistic
    assert distance < 0.019


def test_langevin_settles_on_the_level_s_law():
    """At one level, run long with small steps, it draws from the mixture at that level."""
    data = exact.mixture([0.5, 0.5], [[-0.5], [0.5]], [0.4, 0.4])
    plan = pydiffcore.trace(samplers.langevin, levels.explicit([0.51, 0.5]), step=0.02, repeats=150)
    start = torch.as_tensor(data.sample(N, np.random.default_rng(1))).float()
    out = pydiffcore.sample(data, plan, shape=(1,), seeds=range(N), x=start)
    distance = stats.kstest(out.double().numpy().ravel(), lambda v: data.cdf(v, 0.5)).statistic
    assert distance < 0.019


def test_the_test_can_fail():
    """A sampler whose noise is 5 % too strong is found out at the coarse step."""
    case = Case(samplers.ancestral)
    plan = pydiffcore.trace(case.sampler, case.levels(8))
    data = exact.gaussian(np.array([MEAN]), np.array([STD]))
    x = 1.05 * pydiffcore.sample(data, plan, shape=(1,), seeds=range(N)).double().numpy().ravel()
    assert stats.kstest(x, "norm", gaussian_law(plan)).pvalue < 1e-6


def test_vp_is_what_the_cases_use():
    assert VP.name.startswith("vp(")
