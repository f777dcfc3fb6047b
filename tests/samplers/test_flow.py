# SPDX-License-Identifier: Apache-2.0
"""Samplers of rectified flow: their own equations in t, and the flow schedulers of diffusers."""

import numpy as np
import pytest
import torch
from samplers.test_diffusers import BATCH, SHAPE, drawn, unit

import pydiffcore
from pydiffcore import exact, levels, prediction, process, samplers
from pydiffcore.levels.tables import UNBOUNDED

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
FLOW = process.flow()


def at_times(t):
    """Levels of times t, 1 included."""
    t = np.asarray(t, np.float64)
    with np.errstate(divide="ignore"):
        return levels.explicit(np.minimum(t / (1 - t), UNBOUNDED), FLOW)


def network(x, t):
    return 0.9 * torch.tanh(x) + 0.1 * torch.sin(3 * x + t.reshape(-1, 1, 1, 1) / 500)


def assert_same(plan, scheduler, times, *, noises=0, dtype=torch.float32):
    """Both start at t = 1 with the same noise; a state is x_t, which our registers hold too."""
    x, generator = unit().to(dtype), torch.Generator().manual_seed(7)
    noise = drawn(noises, 7)[: plan.draws] if noises else None
    object.__setattr__(plan, "c_noise", np.asarray(times, np.float64))
    model = pydiffcore.Denoiser(network, prediction.velocity())
    steps = pydiffcore.trajectory(
        model, plan, shape=SHAPE, seeds=range(BATCH), x=x, noise=noise, dtype=dtype
    )
    found = [step.x.clone() for step in steps][1:]
    for t, a in zip(scheduler.timesteps, found, strict=True):
        F = network(x, torch.full((BATCH,), float(t), dtype=dtype))
        given = {"generator": generator} if noises else {}
        x = scheduler.step(F, t, x, **given).prev_sample
        assert float((a - x).abs().max() / x.abs().max()) <= 1e-5


def traced(sampler, given, **options):
    return pydiffcore.trace(sampler, given, prediction.velocity(), scaling=FLOW, **options)


@pytest.mark.parametrize("n", [1, 4, 20])
@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("stochastic", [False, True])
def test_euler_scheduler(n, shift, stochastic):
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(
        shift=shift, stochastic_sampling=stochastic
    )
    scheduler.set_timesteps(n)
    given = at_times(scheduler.sigmas.double().numpy())
    plan = traced(samplers.lcm if stochastic else samplers.euler, given)
    assert_same(plan, scheduler, scheduler.timesteps.double().numpy(), noises=n * stochastic)


@pytest.mark.parametrize("n", [2, 4, 20])
def test_heun_scheduler(n):
    scheduler = diffusers.FlowMatchHeunDiscreteScheduler()
    scheduler.set_timesteps(n)
    t = np.unique(scheduler.sigmas.double().numpy())[::-1]
    plan = traced(samplers.flow_heun, at_times(t))
    times = scheduler.timesteps.double().numpy()
    assert_same(plan, scheduler, times, dtype=torch.float64)  # theirs divides by t = 0.001


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n", [4, 20])
def test_ancestral_scheduler(n, eta):
    scheduler = diffusers.LTXEulerAncestralRFScheduler(eta=eta)
    t = torch.linspace(1.0, 0.0, n + 1).tolist()
    scheduler.set_timesteps(sigmas=t)
    given = at_times(scheduler.sigmas.double().numpy())
    plan = traced(samplers.flow_euler_ancestral, given, eta=eta)
    scheduler.timesteps = scheduler.timesteps[:-1]
    assert_same(plan, scheduler, scheduler.timesteps.double().numpy(), noises=n)


def test_the_sde_s_step_is_the_paper_s():
    """X + [v + g²/(2t)(X + (1 − t) v)] Δt + g sqrt(−Δt) z with g = a sqrt(t/(1 − t))."""
    t, t_next, a, X, D = 0.8, 0.65, 0.7, 1.3, -0.4
    plan = traced(samplers.flow_sde, at_times([t, t_next, 0.0]), a=a)
    v, g, dt = (X - D) / t, a * np.sqrt(t / (1 - t)), t_next - t
    mean = X + (v + g**2 / (2 * t) * (X + (1 - t) * v)) * dt
    assert plan.A[1, 0, 0] * X + plan.B[1, 0] * D == pytest.approx(mean, rel=1e-12)
    assert plan.S[1, 0, 0] == pytest.approx(g * np.sqrt(-dt), rel=1e-12)
    bounded = traced(samplers.flow_sde, at_times([t, t_next, 0.0]), a=a, sigma_max=1.0)
    assert bounded.S[1, 0, 0] == pytest.approx(a * np.sqrt(-dt), rel=1e-12)
    assert plan.draws == 1
    assert traced(samplers.flow_sde, at_times([t, t_next, 0.0]), final_noise=True).draws == 2
    assert np.isfinite(traced(samplers.flow_sde, at_times([1.0, 0.9, 0.0]), sigma_max=9.0).S).all()


def test_heun_agrees_with_the_general_form_below_time_1():
    given = at_times(np.linspace(0.95, 0.05, 8))
    data = exact.gaussian(np.array([0.4]), np.array([0.5]))
    x = np.linspace(-2, 2, 9)[:, None] * given.sigma[0]
    a = samplers.flow_heun(x, data, given, None)
    b = samplers.pf_heun(x, data, given, None, process=FLOW)
    assert np.abs(a - b).max() <= 1e-12 * np.abs(b).max()


@pytest.mark.parametrize(
    "sampler", [samplers.euler, samplers.flow_heun, samplers.flow_euler_ancestral]
)
def test_marginals_are_exact_from_time_1_on(sampler):
    plan = traced(sampler, at_times(np.linspace(1.0, 0.0, 11)))
    assert plan.x0_error.max() <= 1e-12
    assert np.abs(plan.noise_ratio - 1).max() <= 1e-12
    assert plan.amplification < 20


@pytest.mark.parametrize(
    ("sampler", "options", "message"),
    [
        (samplers.flow_euler_ancestral, {"eta": 1.5}, "expected eta in"),
        (samplers.flow_euler_ancestral, {"s_noise": -1.0}, "s_noise is -1"),
        (samplers.flow_sde, {"a": -0.1}, "a is -0.1"),
        (samplers.flow_sde, {"sigma_max": 0.0}, "sigma_max is 0.0"),
    ],
)
def test_what_is_refused(sampler, options, message):
    with pytest.raises(ValueError, match=message):
        pydiffcore.trace(sampler, levels.karras(3), **options)
