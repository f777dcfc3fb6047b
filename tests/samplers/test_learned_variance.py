# SPDX-License-Identifier: Apache-2.0
"""DDPM whose noise has a deviation that the network gives element by element (eq. 15)."""

import numpy as np
import pytest
import torch
from samplers.test_diffusers import BETAS, VP, drawn, sigmas_of, unit

import pydiffcore
from pydiffcore import levels, prediction, samplers
from pydiffcore.ops.runner import Runner

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SHAPE, SEEDS = (2, 3, 4), range(3)
KIND = prediction.eps(VP)
GIVEN = levels.trailing(12, VP)


def network(x, t, shift=0.0):
    """Noise, and a v that differs from element to element and leaves [−1, 1] here and there."""
    t = t.reshape(-1, *[1] * (x.ndim - 1)).to(x.dtype)
    eps = 0.9 * torch.tanh(x) + 0.1 * torch.sin(3 * x + t / 500) + shift
    return torch.cat([eps, 1.2 * torch.sin(2 * x - t / 300)], dim=1)


def learned(net=network, **kw):
    return pydiffcore.Denoiser(net, KIND, learned_variance=True, **kw)


def plan_of(variance="learned_range", given=GIVEN, **kw):
    return pydiffcore.trace(samplers.ddpm, given, KIND, variance=variance, **kw)


def run(model, plan, dtype=torch.float64, **kw):
    return pydiffcore.sample(model, plan, shape=SHAPE, seeds=SEEDS, dtype=dtype, **kw)


def relative(a, b):
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize(("v", "variance"), [(-1.0, "small"), (1.0, "large")])
def test_its_ends_are_the_fixed_variances(v, variance):
    def at_the_end(x, t):
        eps = network(x, t)[:, :2]
        return torch.cat([eps, torch.full_like(eps, v)], dim=1)

    found = run(learned(at_the_end), plan_of())
    expected = run(learned(at_the_end), plan_of(variance))
    assert relative(found, expected) <= 1e-12


def test_one_step_against_equation_15():
    """In the frame x_t: exp(½(f ln β + (1 − f) ln β̃)) with the table's own β and β̃."""
    given = levels.explicit(VP.level(np.array([300.0, 299.0])), VP)
    plan = plan_of(given=given, scaling=VP)
    x, z = unit().double(), unit(5).double()
    out = run(learned(), plan, x=x, noise=z[None])
    F = network(x, torch.full((3,), 300.0))
    abar = 1 / (1 + np.asarray(VP.level(np.array([300.0, 299.0]))) ** 2)
    beta = 1 - abar[0] / abar[1]
    small = beta * (1 - abar[1]) / (1 - abar[0])
    f = (F[:, 2:] + 1) / 2
    deviation = torch.exp(0.5 * (f * np.log(beta) + (1 - f) * np.log(small)))
    mean = (x - beta / np.sqrt(1 - abar[0]) * F[:, :2]) / np.sqrt(1 - beta)
    assert relative(out, mean + deviation * z) <= 1e-12


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("clip", [None, (-1.0, 1.0)])
@pytest.mark.parametrize("n", [1, 2, 12, 100])
def test_fused_is_direct(backend, clip, n):
    given = levels.trailing(n, VP)
    plan = plan_of(given=given, clip=clip, scaling=VP)
    direct = pydiffcore.direct(
        samplers.ddpm, learned(), given, shape=SHAPE, seeds=SEEDS, clip=clip,
        variance="learned_range",
    )  # fmt: skip
    assert relative(run(learned(), plan, backend=backend), direct) <= 1e-10
    assert relative(run(learned(), plan, torch.float32, backend=backend).double(), direct) <= 1e-5


def test_noise_from_outside_is_scaled_too():
    plan = plan_of()
    stack = torch.randn(plan.draws, 3, *SHAPE, dtype=torch.float64)
    given = iter(stack)
    a = run(learned(), plan, noise=stack)
    assert torch.equal(a, run(learned(), plan, noise=lambda sigma, sigma_next: next(given)))
    direct = pydiffcore.direct(
        samplers.ddpm, learned(), GIVEN, shape=SHAPE, seeds=SEEDS, noise=stack,
        variance="learned_range",
    )  # fmt: skip
    assert relative(a, direct) <= 1e-10


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("n", [10, 100])
def test_ddpm_scheduler(n, clip):
    scheduler = diffusers.DDPMScheduler(
        **BETAS, variance_type="learned_range", clip_sample=clip is not None
    )
    scheduler.set_timesteps(n)
    plan = plan_of(given=sigmas_of(scheduler), clip=(-1, 1) if clip else None, scaling=VP)
    x, noise, generator = unit(), drawn(n, 7), torch.Generator().manual_seed(7)
    steps = pydiffcore.trajectory(
        learned(), plan, shape=SHAPE, seeds=SEEDS, x=x, noise=noise[: plan.draws]
    )
    found = [step.x.clone() for step in steps][1:]
    for t, a in zip(scheduler.timesteps, found, strict=True):
        F = network(x, torch.full((3,), float(t)))
        x = scheduler.step(F, t, x, generator=generator).prev_sample
        assert float((a - x).abs().max() / x.abs().max().clamp(min=1.0)) <= 1e-5


def test_guidance_takes_the_variance_of_the_conditional_call():
    guidance = pydiffcore.Guidance(2.0, unconditional={"shift": 0.1})
    model = learned(guidance=guidance, condition={"shift": -0.2})

    def combined(x, t):
        c, u = network(x, t, -0.2), network(x, t, 0.1)
        return torch.cat([u[:, :2] + 2 * (c[:, :2] - u[:, :2]), c[:, 2:]], dim=1)

    expected = run(learned(combined), plan_of())
    assert relative(run(model, plan_of()), expected) <= 1e-12
    direct = pydiffcore.direct(
        samplers.ddpm, model, GIVEN, shape=SHAPE, seeds=SEEDS, variance="learned_range"
    )
    assert relative(direct, expected) <= 1e-10


def test_a_sampler_that_does_not_use_it_leaves_it_out():
    euler = pydiffcore.trace(samplers.euler, GIVEN, KIND)
    half = pydiffcore.Denoiser(lambda x, t: network(x, t)[:, :2], KIND)
    assert torch.equal(run(learned(), euler), run(half, euler))
    with pytest.raises(ValueError, match="reads a learned variance"):
        run(half, plan_of())


def test_gradients_reach_the_variance():
    weight = torch.tensor(0.3, requires_grad=True)

    def net(x, t):
        F = network(x, t).float()
        return torch.cat([F[:, :2], weight * F[:, 2:]], dim=1)

    out = run(learned(net), plan_of(), torch.float32, grad=True)
    (gradient,) = torch.autograd.grad(out.square().mean(), weight)
    with torch.no_grad():
        step = 1e-2
        ends = []
        for sign in (1, -1):
            weight.add_(sign * step)
            ends.append(run(learned(net), plan_of(), torch.float32).square().mean())
            weight.sub_(sign * step)
    assert float(gradient) == pytest.approx(float((ends[0] - ends[1]) / (2 * step)), rel=1e-2)


def test_the_plan_says_what_is_learned():
    plan = plan_of()
    assert plan.learned_variance
    assert not plan_of("small").learned_variance
    ratio = np.array([
        (b**2 / a**2) * (1 + a**2) / (1 + b**2)
        for a, b in zip(GIVEN.sigma[:-2], GIVEN.sigma[1:-1], strict=True)
    ])  # fmt: skip
    np.testing.assert_allclose(np.exp(-2 * plan.spread), ratio, rtol=1e-12)
    assert "·exp(" in plan.format()
    again = pydiffcore.Plan.from_json(plan.to_json())
    assert again == plan
    assert again != plan_of("small")
    assert np.array_equal(plan.S, plan_of("small").S)


def test_what_is_refused():
    plan = plan_of()
    runner = Runner(plan, SHAPE, list(SEEDS))
    x = runner.start()
    with pytest.raises(ValueError, match="variance is None"):
        runner.advance(network(x, torch.zeros(3))[:, :2].contiguous())
    with pytest.raises(ValueError, match="has shape"):
        runner.advance(network(x, torch.zeros(3))[:, :2].contiguous(), variance=x[:, :1])
    odd = learned(lambda x, t: network(x, t)[:, :3])
    with pytest.raises(ValueError, match="expected twice the channels"):
        run(odd, plan)
    with pytest.raises(TypeError, match="learned_variance=True"):
        samplers.ddpm(
            np.ones(1), lambda x, s: x, GIVEN, lambda *s: np.ones(1), variance="learned_range"
        )
    with pytest.raises(ValueError, match="expected 'small', 'large' or 'learned_range'"):
        plan_of("medium")
    with pytest.raises(pydiffcore.TraceError, match="after the last network call"):
        pydiffcore.trace(early, levels.karras(3))


@pytest.mark.parametrize("use", ["again", "before", "spread"])
def test_a_draw_with_a_learned_variance_is_used_once(use):
    """The runner scales the draw wherever it stands, so that another use of it would be wrong."""

    def twice(x, denoise, levels, noise):
        D = denoise(x, float(levels.sigma[0]))
        z = noise()
        before = D + 0.5 * z if use == "before" else D
        scaled = denoise.spread(z, 0.1, 0.2)
        other = {"again": z, "before": before, "spread": denoise.spread}[use]
        return before + scaled + (other(z, 0.1, 0.2) if use == "spread" else other)

    with pytest.raises(pydiffcore.TraceError, match="draw another"):
        pydiffcore.trace(twice, levels.karras(1))


def early(x, denoise, levels, noise):
    z = noise()
    D = denoise(x, float(levels.sigma[0]))
    return D + denoise.spread(z, 0.1, 0.2)
