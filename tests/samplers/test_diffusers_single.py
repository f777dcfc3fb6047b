# SPDX-License-Identifier: Apache-2.0
"""Step-by-step equality with the one-step schedulers of diffusers."""

import math

import numpy as np
import pytest
import torch
from samplers.test_diffusers import BETAS, VP, assert_same, unit

import pydiffcore
from pydiffcore import levels, prediction, samplers

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`algorithm_types:FutureWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]


def relabelled(plan, scheduler):
    """The plan with the scheduler's own labels, of which some are rounded."""
    labels = scheduler.timesteps.double().numpy()
    assert np.abs(plan.c_noise - labels).max() <= 1.0
    object.__setattr__(plan, "c_noise", labels)
    return plan


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("n", [2, 10])
def test_kdpm2(spacing, n):
    scheduler = diffusers.KDPM2DiscreteScheduler(**BETAS, timestep_spacing=spacing)
    scheduler.set_timesteps(n)
    sigma = np.unique(scheduler.sigmas.double().numpy())[::-1]
    plan = pydiffcore.trace(samplers.dpm_2, levels.explicit(sigma, VP), prediction.eps(VP))
    relabelled(plan, scheduler)
    assert_same(plan, scheduler, unit() * plan.init_scale, every=2)


@pytest.mark.parametrize("n", [5, 10])
def test_kdpm2_ancestral(n):
    """In float32 their sigma_down cancels: at two steps the results differ by 3e-5."""
    scheduler = diffusers.KDPM2AncestralDiscreteScheduler(**BETAS)
    scheduler.set_timesteps(n)
    sigma = np.unique(scheduler.sigmas.double().numpy())[::-1]
    at = levels.explicit(sigma, VP)
    plan = pydiffcore.trace(samplers.dpm_2_ancestral, at, prediction.eps(VP))
    relabelled(plan, scheduler)
    x = unit() * plan.init_scale
    assert_same(plan, scheduler, x, noises=n, every=2, generator=None)


KINDS = [
    ("dpmsolver++", "zero"),
    ("dpmsolver++", "sigma_min"),
    ("dpmsolver", "sigma_min"),
    ("sde-dpmsolver++", "zero"),
]
SINGLESTEP = [
    (kind, final, order, solver)
    for kind, final in KINDS
    for order in (1, 2, 3)
    for solver in ("midpoint", "heun")
    if (kind, order, solver) != ("sde-dpmsolver++", 3, "heun")  # theirs is wrong: see below
]


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("n", [6, 11])
@pytest.mark.parametrize(("kind", "final", "order", "solver"), SINGLESTEP)
def test_dpmsolver_singlestep(kind, final, order, solver, n, lower):
    lower = lower or n % order > 0  # without it theirs has no order for a rest
    scheduler = diffusers.DPMSolverSinglestepScheduler(
        **BETAS, algorithm_type=kind, solver_order=order, solver_type=solver,
        lower_order_final=lower, final_sigmas_type=final,
    )  # fmt: skip
    stochastic = kind.startswith("sde")
    scheduler.set_timesteps(n)
    plan = pydiffcore.trace(
        samplers.dpm_solver_single,
        levels.explicit(scheduler.sigmas.double().numpy(), VP),
        prediction.eps(VP),
        scaling=VP,
        order=order,
        solver=solver,
        lower_order_final=lower,
        predict="x0" if kind.endswith("++") else "eps",
        eta=1.0 if stochastic else 0.0,
        joint=False,
    )
    relabelled(plan, scheduler)
    noise = {"generator": None} if stochastic else {}
    assert_same(plan, scheduler, unit(), noises=n, **noise)


def exact_sde_mean(x, sigma, sigma_next):
    """Mean of the reverse SDE's solution (eta = 1) where D = lambda^2: integrated by parts."""
    at, to = -np.log(sigma), -np.log(sigma_next)
    decay = np.exp(-2 * (to - at))
    return decay * x + (to**2 - to + 0.5) - decay * (at**2 - at + 0.5)


def test_third_order_sde_of_diffusers_has_a_wrong_sign():
    """Its D'' term has -1/2 where phi_3 has +1/2, as that of the multistep scheduler.

    Where D is a quadratic in lambda the parabola through three D is exact: ours is, to rounding.
    """
    scheduler = diffusers.DPMSolverSinglestepScheduler(
        **BETAS, algorithm_type="sde-dpmsolver++", solver_order=3, solver_type="heun",
        prediction_type="sample", use_exponential_sigmas=True, final_sigmas_type="zero",
    )  # fmt: skip
    scheduler.set_timesteps(7)
    sigma = scheduler.sigmas.double().numpy()
    alpha = 1 / np.sqrt(1 + sigma**2)
    x = torch.zeros(1)
    for i in range(3):
        D = torch.tensor([np.log(sigma[i]) ** 2], dtype=torch.float32)
        module = diffusers.schedulers.scheduling_dpmsolver_singlestep
        drawn, module.randn_tensor = module.randn_tensor, lambda *a, **k: torch.zeros(1)
        try:
            x = scheduler.step(D, scheduler.timesteps[i], x).prev_sample
        finally:
            module.randn_tensor = drawn
    truth = exact_sde_mean(0.0, sigma[0], sigma[3])
    ours = samplers.dpm_solver_single(
        np.array(0.0), lambda x, at: np.array(np.log(at) ** 2), levels.explicit(sigma[:4]),
        lambda *_: np.array(0.0), order=3, eta=1.0, solver="heun", lower_order_final=False,
    )  # fmt: skip
    assert abs(ours - truth) < 1e-12
    assert abs(float(x) / alpha[3] - truth) > 0.05


@pytest.mark.parametrize("predict", ["x0", "eps"])
def test_the_papers_inner_rule_makes_single_steps_of_the_levels_between(predict):
    """Three levels to a step: DPM-Solver-3 whose r1, r2 are where the two between lie in λ."""
    given = levels.explicit([20.0, 10.0, 4.0, 1.0])
    total = math.log(20.0)
    r = {"r1": math.log(2.0) / total, "r2": math.log(5.0) / total}
    options = {"order": 3, "predict": predict, "lower_order_final": False}
    whole = samplers.dpmpp_3s if predict == "x0" else samplers.dpm_solver_3
    expected = pydiffcore.trace(whole, levels.explicit([20.0, 1.0]), **r)
    plan = pydiffcore.trace(samplers.dpm_solver_single, given, inner="heun", **options)
    x = np.array([0.3, -4.0, 11.0])
    D = [np.tanh(x), np.cos(x), np.sin(x)]

    def run(sampler, at, **kw):
        answers = iter(D)
        return sampler(x, lambda *_: next(answers), at, None, **kw)

    one = run(whole, levels.explicit([20.0, 1.0]), **r)
    np.testing.assert_allclose(plan.sigma, expected.sigma, rtol=1e-14)
    np.testing.assert_allclose(
        run(samplers.dpm_solver_single, given, inner="heun", **options), one, rtol=1e-12
    )
    theirs = pydiffcore.trace(
        samplers.dpm_solver_single, given, **options
    )  # diffusers': a_32 differs
    assert np.abs(theirs.B[2] - plan.B[2]).max() > 0.01
