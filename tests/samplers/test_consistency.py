# SPDX-License-Identifier: Apache-2.0
"""Consistency sampling with an exact consistency model: the law of the data at any step count.

On Gaussian data the ODE's solution is known, f(x, σ) = its value at σ_min, and is linear in x, so
that the law of the result is a Gaussian that can be followed exactly.
"""

import numpy as np
import pytest
import torch
from samplers.test_diffusers import BETAS, VP, assert_same, drawn, sigmas_of, unit

import pydiffcore
from pydiffcore import exact, levels, prediction, process, samplers

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
MEAN, STD, N = 0.4, 0.7, 20_000


def model(sigma_min):
    data = exact.gaussian(np.array([MEAN]), np.array([STD]))

    def f(x, sigma):
        found = data.solution(x.double().numpy(), float(sigma[0]), sigma_min)
        return torch.as_tensor(found).to(x.dtype)

    return f


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("sigma_min", [0.0, 0.3])
def test_an_exact_consistency_model_gives_the_law_at_its_lowest_level(n, sigma_min):
    """N = 20,000: mean and deviation to five standard errors, 3.5 % and 2.5 % of the deviation."""
    given = levels.karras(n, sigma_min=0.5, sigma_max=80.0)
    plan = pydiffcore.trace(samplers.consistency, given, sigma_min=sigma_min)
    start = np.random.default_rng(3)
    x = torch.as_tensor(MEAN + np.hypot(STD, 80.0) * start.standard_normal((N, 1)))
    out = pydiffcore.sample(
        model(sigma_min), plan, shape=(1,), seeds=range(N), x=x, dtype=torch.float64
    ).numpy()
    std = np.hypot(STD, sigma_min)
    assert abs(out.mean() - MEAN) < 5 * std / np.sqrt(N)
    assert abs(out.std() / std - 1) < 5 / np.sqrt(2 * N)


def test_lcm_is_consistency_sampling_down_to_zero():
    given = levels.karras(5)
    a = pydiffcore.trace(samplers.lcm, given)
    b = pydiffcore.trace(samplers.consistency, given, sigma_min=0.0)
    assert np.array_equal(a.S, b.S)
    assert np.array_equal(a.B, b.B)
    assert not a.A[1:].any()


def test_the_boundary_condition_mixes_in_the_state():
    """c_skip x_t + c_out D with τ = 10 t: at t = 0.01 of VP both shares are large."""
    vp = process.vp()
    sigma = float(vp.level(0.01))
    plan = pydiffcore.trace(
        samplers.lcm, levels.explicit([sigma, 0.0], vp), timestep_scaling=10.0, sigma_data=0.5
    )
    tau = 10 * float(vp.label(0.01))
    assert plan.B[1, 0] == pytest.approx(tau / np.hypot(tau, 0.5), rel=1e-9)
    skip = 0.25 / (tau**2 + 0.25) * float(vp.alpha(0.01))
    assert plan.A[1, 0, 0] == pytest.approx(skip, rel=1e-9)


def test_tcd_between_its_ends():
    """η = 0 is DDIM, η = 1 noises D itself, in between both; the marginal is exact throughout."""
    given = levels.uniform_t(6, process.vp())
    ddim = pydiffcore.trace(samplers.ddim, given)
    assert np.abs(pydiffcore.trace(samplers.tcd, given, eta=0.0).A - ddim.A).max() == 0
    full = pydiffcore.trace(samplers.tcd, given, eta=1.0)
    assert np.abs(full.A[1:, 0, 0] - given.process.level(0.0) / full.sigma).max() < 1e-12
    with pytest.raises(ValueError, match=r"eta is 1\.1"):
        pydiffcore.trace(samplers.tcd, given, eta=1.1)


@pytest.mark.parametrize("n", [1, 2, 4, 8])
@pytest.mark.parametrize("scaling", [10.0, 0.001])
@pytest.mark.parametrize("clip", [False, True])
def test_lcm_scheduler(n, scaling, clip):
    scheduler = diffusers.LCMScheduler(**BETAS, timestep_scaling=scaling, clip_sample=clip)
    scheduler.set_timesteps(n)
    plan = pydiffcore.trace(
        samplers.lcm,
        sigmas_of(scheduler),
        prediction.eps(VP),
        timestep_scaling=scaling,
        clip=(-1, 1) if clip else None,
        scaling=VP,
    )
    assert_same(plan, scheduler, unit(), noises=n, generator=None)


@pytest.mark.parametrize("n", [1, 2, 4, 8])
@pytest.mark.parametrize("eta", [0.0, 0.3, 0.7, 1.0])
def test_tcd_scheduler(n, eta):
    """Theirs ends at the table's first entry, not at 0."""
    scheduler = diffusers.TCDScheduler(**BETAS)
    scheduler.set_timesteps(n)
    sigma = np.append(VP.level(scheduler.timesteps.double().numpy()), VP.level(0.0))
    plan = pydiffcore.trace(
        samplers.tcd, levels.explicit(sigma, VP), prediction.eps(VP), eta=eta, scaling=VP
    )
    assert_same(plan, scheduler, unit(), noises=n, eta=eta, generator=None)


def test_tcd_rounds_the_lower_time_as_the_scheduler_does():
    """Where (1 − η) t is whole but for rounding, both take that entry of the table."""
    table = process.discrete(process.scaled_linear_betas(1000))
    for eta in (0.1, 0.2, 0.3, 0.5, 0.7, 0.9):
        t = torch.arange(10, 1000, 10)
        theirs = torch.floor((1 - eta) * t).numpy()
        for index, lower in zip(t.tolist(), theirs, strict=True):
            given = levels.explicit([200.0, float(table.level(index))], table)
            plan = pydiffcore.trace(samplers.tcd, given, eta=eta)
            assert plan.A[1, 0, 0] * 200.0 == pytest.approx(float(table.level(lower)), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_consistency_scheduler(n):
    """Their labels are integers off by the rounding of ln σ; both are given the same."""
    scheduler = diffusers.CMStochasticIterativeScheduler(clip_denoised=True)
    scheduler.set_timesteps(n)
    sigma = scheduler.sigmas.double().numpy()
    sigma[-1] = 0.002
    kind = prediction.consistency(0.5, 0.002)
    plan = pydiffcore.trace(samplers.consistency, levels.explicit(sigma), kind, clip=(-1, 1))
    labels = scheduler.timesteps.double().numpy()
    assert np.abs(plan.c_noise - labels).max() <= 1e-3
    object.__setattr__(plan, "c_noise", labels)
    x = unit() * plan.init_scale
    noise = torch.stack([unit(9 + i) for i in range(n)])
    states, state = [], x
    for i, t in enumerate(scheduler.timesteps):
        F = _network(scheduler.scale_model_input(state, t), t)
        draw = noise[i : i + 1]
        state = _with_noise(scheduler, draw[0], F, t, state)
        states.append(state)
    net = pydiffcore.Denoiser(lambda x, t: _network(x, t[0]), kind)
    steps = pydiffcore.trajectory(
        net, plan, shape=x.shape[1:], seeds=range(len(x)), x=x, noise=noise[: plan.draws]
    )
    found = [step.x.clone() for step in steps][1:]
    for a, b in zip(found, states, strict=True):
        assert float((a - b).abs().max() / b.abs().max()) <= 1e-5


def _network(x, t):
    return 0.9 * torch.tanh(x) + 0.1 * torch.sin(3 * x + t / 500)


def _with_noise(scheduler, noise, F, t, x):
    from diffusers.schedulers import scheduling_consistency_models as theirs

    drawn, theirs.randn_tensor = theirs.randn_tensor, lambda *a, **k: noise
    try:
        return scheduler.step(F, t, x).prev_sample
    finally:
        theirs.randn_tensor = drawn


@pytest.mark.parametrize("n", [1, 2, 4])
def test_scm_scheduler(n):
    """lcm with trigflow: their state is cos(t) of ours, and their F has the data's deviation."""
    scheduler = diffusers.SCMScheduler()
    scheduler.set_timesteps(n, max_timesteps=1.56454, intermediate_timesteps=None)
    angles = scheduler.timesteps.double().numpy()
    kind = prediction.trigflow(0.5)
    plan = pydiffcore.trace(samplers.lcm, levels.explicit(0.5 * np.tan(angles)), kind)
    noise = drawn(n, 7)
    net = pydiffcore.Denoiser(lambda x, t: _network(x, 500 * t[0]), kind)
    x = 0.5 * unit()  # x_t at t = π/2, nearly
    start = x / np.cos(angles[0])
    steps = pydiffcore.trajectory(
        net, plan, shape=x.shape[1:], seeds=range(len(x)), x=start, noise=noise[: plan.draws]
    )
    found = [step.x.clone() for step in steps][1:]
    generator = torch.Generator().manual_seed(7)
    for t, after, a in zip(scheduler.timesteps, angles[1:], found, strict=False):
        F = 0.5 * _network(x / 0.5, 500 * t)
        x = scheduler.step(F, t, x, generator=generator).prev_sample
        assert float((np.cos(after) * a - x).abs().max() / x.abs().max()) <= 1e-5
