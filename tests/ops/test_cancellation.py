# SPDX-License-Identifier: Apache-2.0
"""Float32 rows at small levels: differences of nearly equal tensors are formed before they grow."""

import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import exact, levels, prediction, process, samplers
from pydiffcore.ops.rows import fold

MIXTURE = exact.mixture([0.4, 0.6], np.linspace(-1, 1, 48).reshape(2, 24), [0.3, 0.5])
WIDE = levels.explicit([40.9, 0.0233, 0.0])  # in one step to 1/1700 of the level


def error(x, exact_x):
    return float((x.double() - exact_x).square().mean().sqrt())


@pytest.mark.parametrize(
    ("sampler", "steps"),
    [
        (samplers.kutta, WIDE),
        (samplers.rk4, WIDE),
        (samplers.pndm, WIDE),
        (samplers.dpm_solver_single, levels.karras(4, sigma_min=0.22, sigma_max=9.9, rho=1)),
    ],
)
def test_the_fused_run_is_as_exact_as_the_direct_one(sampler, steps):
    plan = pydiffcore.trace(sampler, steps)
    kw = {"shape": MIXTURE.shape, "seeds": range(8)}
    wide = pydiffcore.direct(sampler, MIXTURE, steps, **kw)
    narrow = error(pydiffcore.direct(sampler, MIXTURE, steps, dtype=torch.float32, **kw), wide)
    fused = error(pydiffcore.sample(MIXTURE, plan, dtype=torch.float32, **kw), wide)
    assert fused <= 3 * narrow


@pytest.mark.parametrize("sampler", [samplers.euler, samplers.ancestral])
def test_steps_smaller_than_the_state_round_it_once(sampler):
    steps = levels.karras(43, sigma_min=0.001, sigma_max=0.002, final_zero=False)
    plan = pydiffcore.trace(sampler, steps)
    kw = {"shape": MIXTURE.shape, "seeds": range(64)}
    wide = pydiffcore.direct(sampler, MIXTURE, steps, **kw)
    narrow = pydiffcore.direct(sampler, MIXTURE, steps, dtype=torch.float32, **kw)
    fused = pydiffcore.sample(MIXTURE, plan, dtype=torch.float32, **kw)
    assert error(fused, wide) <= 1.1 * error(narrow, wide)


def test_a_register_is_no_small_difference_of_two_others():
    # D of the first call beside 0.67·x + 0.33·D: kept as D, not as what x leaves of the query
    steps = levels.karras(4, sigma_min=0.22, sigma_max=9.9, rho=1)
    assert pydiffcore.trace(samplers.dpm_solver_single, steps).amplification < 5


@pytest.mark.parametrize(
    ("sampler", "steps"),
    [(samplers.kutta, WIDE), (samplers.euler, levels.karras(43, sigma_min=1e-3, sigma_max=2e-3))],
)
def test_the_difference_takes_the_place_of_the_output(sampler, steps):
    plan = pydiffcore.trace(sampler, steps)
    rows = fold(plan, unit_noise=False, single=True, copies=True)
    subtracts = rows.d != 0
    assert rows.clip == (-np.inf, np.inf)
    assert 0 < subtracts.sum()
    assert not (subtracts & (rows.f != 0)).any()
    sums = (rows.A[:, :, 0] + np.where(subtracts, 0, rows.f), plan.A[:, :, 0] + plan.B)
    np.testing.assert_allclose(*sums, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "plan",
    [
        pydiffcore.trace(samplers.euler, levels.karras(18)),
        pydiffcore.trace(samplers.heun, levels.karras(18)),
        pydiffcore.trace(samplers.euler, levels.karras(43, 1e-3, 2e-3), prediction.edm()),
        pydiffcore.trace(samplers.kutta, WIDE, prediction.eps(process.vp())),
    ],
    ids=["euler", "heun", "edm", "eps"],
)
def test_other_rows_have_no_such_operand(plan):
    rows = fold(plan, unit_noise=False, single=True, copies=True)
    assert rows.clip is None
    assert not rows.d.any()
    assert fold(plan, unit_noise=False, single=False).clip is None


def test_infinite_bounds_pass_what_is_not_finite():
    plan = pydiffcore.trace(samplers.kutta, WIDE)

    def network(x, sigma):
        return torch.full_like(x, float("inf")) if float(sigma.max()) < 1 else x

    with pytest.raises(FloatingPointError):
        pydiffcore.sample(network, plan, shape=(4,), seeds=[1], dtype=torch.float32)
