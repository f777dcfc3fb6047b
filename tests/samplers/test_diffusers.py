# SPDX-License-Identifier: Apache-2.0
"""Step-by-step equality with the schedulers of diffusers, on the same inputs and noise."""

import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import levels, prediction, process, samplers

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

# diffusers passes torch tensors to numpy.array, which NumPy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHAPE = (2, 3, 4)
BATCH = 3
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
VP = process.discrete(process.scaled_linear_betas(1000))


def network(x, t):
    """A smooth stand-in for a noise-predicting network."""
    return 0.9 * torch.tanh(x) + 0.1 * torch.sin(3 * x + t.reshape(-1, *[1] * (x.ndim - 1)) / 500)


def drawn(count, seed):
    """What a scheduler draws from a generator with this seed, one tensor per call."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn((BATCH, *SHAPE), generator=generator) for _ in range(count)])


def theirs(scheduler, x, seed, **step):
    generator = torch.Generator().manual_seed(seed)
    if "generator" in step:
        step["generator"] = generator
    states = []
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t)
        F = network(scaled, torch.full((BATCH,), float(t)))
        x = scheduler.step(F, t, x, **step).prev_sample
        states.append(x)
    return states


def ours(plan, x, noise, kind):
    model = pydiffcore.Denoiser(network, kind)
    steps = pydiffcore.trajectory(
        model, plan, shape=SHAPE, seeds=range(BATCH), x=x, noise=noise if plan.draws else None
    )
    return [step.x.clone() for step in steps][1:]


def assert_same(plan, scheduler, x, *, noises=0, seed=7, every=1, kind=None, **step):
    expected = theirs(scheduler, x, seed, **step)
    noise = drawn(max(noises, 1), seed)[: plan.draws]
    found = ours(plan, x, noise, kind or prediction.eps(VP))
    assert len(found) == len(expected)
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        if (i + 1) % every == 0 or i + 1 == len(found):
            error = float((a - b).abs().max() / b.abs().max().clamp(min=1.0))
            assert error <= 1e-5, f"step {i}: {error}"


def sigmas_of(scheduler):
    """Levels at a scheduler's timesteps, exact in float64."""
    t = scheduler.timesteps.double().numpy()
    return levels.explicit([*VP.level(t), 0.0], VP)


def unit(seed=1):
    return torch.randn((BATCH, *SHAPE), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_ddim(spacing, eta, clip):
    """Spacings where diffusers' previous timestep, a constant stride back, is its next one."""
    scheduler = diffusers.DDIMScheduler(
        **BETAS, timestep_spacing=spacing, clip_sample=clip is not None, set_alpha_to_one=True
    )
    n = 20
    scheduler.set_timesteps(n)
    plan = pydiffcore.trace(
        samplers.ddim,
        sigmas_of(scheduler),
        prediction.eps(VP),
        eta=eta,
        clip=(-1, 1) if clip else None,
        scaling=VP,
    )
    assert_same(plan, scheduler, unit(), noises=n, eta=eta, generator=None)


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("n", [10, 100])
def test_ddpm(variance, clip, n):
    scheduler = diffusers.DDPMScheduler(
        **BETAS, variance_type=variance, clip_sample=clip is not None
    )
    scheduler.set_timesteps(n)
    plan = pydiffcore.trace(
        samplers.ddpm,
        sigmas_of(scheduler),
        prediction.eps(VP),
        variance=variance.removeprefix("fixed_"),
        clip=(-1, 1) if clip else None,
        scaling=VP,
    )
    assert_same(plan, scheduler, unit(), noises=n, generator=None)


KARRAS_FRAME = [
    (diffusers.EulerDiscreteScheduler, samplers.euler, {}, 1),
    (diffusers.EulerAncestralDiscreteScheduler, samplers.ancestral, {"generator": None}, 1),
    (diffusers.LMSDiscreteScheduler, samplers.lms, {}, 1),
    (diffusers.HeunDiscreteScheduler, samplers.heun, {}, 2),
]


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize(("kind", "sampler", "step", "every"), KARRAS_FRAME)
def test_sigma_frame(kind, sampler, step, every, spacing):
    scheduler = kind(**BETAS, timestep_spacing=spacing)
    scheduler.set_timesteps(20)
    sigma = scheduler.sigmas.double().numpy()
    sigma = np.unique(sigma)[::-1]
    plan = pydiffcore.trace(sampler, levels.explicit(sigma, VP), prediction.eps(VP))
    x = unit() * plan.init_scale
    assert_same(plan, scheduler, x, noises=20, every=every, **step)


@pytest.mark.parametrize("algorithm", ["dpmsolver++", "sde-dpmsolver++"])
@pytest.mark.parametrize("n", [5, 20])
@pytest.mark.parametrize("karras", [False, True])
def test_dpmsolver_multistep(algorithm, n, karras):
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **BETAS, algorithm_type=algorithm, solver_order=2, use_karras_sigmas=karras,
        final_sigmas_type="zero", lower_order_final=False,
    )  # fmt: skip
    scheduler.set_timesteps(n)
    sigma = scheduler.sigmas.double().numpy()
    stochastic = algorithm.startswith("sde")
    sampler = samplers.dpmpp_2m_sde if stochastic else samplers.dpmpp_2m
    plan = pydiffcore.trace(sampler, levels.explicit(sigma, VP), prediction.eps(VP), scaling=VP)
    noise = {"generator": None} if stochastic else {}
    labels = scheduler.timesteps.double().numpy()
    assert np.abs(plan.c_noise - labels).max() <= 1.0  # theirs are rounded to integers
    object.__setattr__(plan, "c_noise", labels)
    assert_same(plan, scheduler, unit(), noises=n, **noise)
