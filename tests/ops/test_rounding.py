# SPDX-License-Identifier: Apache-2.0
"""Float32 coefficients: what their rounding errors add up to over a run."""

import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import exact, levels, samplers
from pydiffcore.ops.rows import fold

MIXTURE = exact.mixture([0.4, 0.6], np.linspace(-1, 1, 48).reshape(2, 24), [0.3, 0.5])
RUNS = [
    # a denoiser that follows its query restores nothing: 90 steps add up
    (
        samplers.langevin,
        levels.exponential(30, sigma_min=0.002106476203336061, sigma_max=8.75),
        {"step": 1e-5, "repeats": 3},
    ),
    # geometric levels have the same coefficients in each step
    (
        samplers.dpm_solver_3,
        levels.exponential(
            58, sigma_min=0.03763350106396863, sigma_max=0.07508870645327785, final_zero=False
        ),
        {},
    ),
    (samplers.dpm_fast, levels.exponential(77, sigma_min=0.001, sigma_max=42.3), {}),
    # levels at which noise is smaller than data
    (samplers.pndm, levels.karras(4, sigma_min=0.0162, sigma_max=0.0322, rho=1), {}),
    (
        samplers.seeds_2,
        levels.exponential(68, sigma_min=0.001, sigma_max=0.006012172730871739),
        {"r": 0.3, "eta": 0.5},
    ),
    # registers that are mixtures
    (samplers.pndm, levels.karras(4, sigma_min=0.02, sigma_max=80), {}),
]


@pytest.mark.parametrize(("sampler", "steps", "options"), RUNS)
def test_the_median_error_is_that_of_the_direct_run(sampler, steps, options):
    plan = pydiffcore.trace(sampler, steps, **options)
    kw = {"shape": MIXTURE.shape, "seeds": range(64)}
    wide = pydiffcore.direct(sampler, MIXTURE, steps, **kw, **options)
    direct = pydiffcore.direct(sampler, MIXTURE, steps, dtype=torch.float32, **kw, **options)
    fused = pydiffcore.sample(MIXTURE, plan, dtype=torch.float32, **kw)
    errors = [(x.double() - wide).square().mean(dim=1).sqrt() for x in (fused, direct)]
    assert float(errors[0].median()) <= 2.2 * float(errors[1].median())


@pytest.mark.parametrize(("sampler", "steps", "options"), RUNS)
def test_numbers_that_float32_has_stay_as_they_are(sampler, steps, options):
    plan = pydiffcore.trace(sampler, steps, **options)
    rows = fold(plan, unit_noise=False, single=True, copies=True)
    for found, exact_ in ((rows.A[:, :, 1:], plan.A[:, :, 1:]), (rows.f + rows.d, plan.B)):
        for number in (0.0, 1.0):
            at = np.abs(exact_ - number) <= 1e-15
            assert (np.abs(found[at] - number) <= 1e-15).all()
