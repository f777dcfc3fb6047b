# SPDX-License-Identifier: Apache-2.0
"""The captured loop: on a CPU the eager one, and, recorded by a stand-in for CUDA's graphs, the
launches of a CUDA program over memory of the host."""

import pytest
import torch
from recording import SEEDS, SHAPE, VP, denoiser, drawn, equal, network, plan

import pydiffcore
from pydiffcore import levels, prediction, process, samplers


@pytest.mark.parametrize("sampler", [samplers.heun, samplers.ancestral, samplers.dpmpp_2m_sde])
@pytest.mark.parametrize("io_dtype", [None, torch.bfloat16])
def test_on_a_cpu_the_loop_is_eager_and_says_so(sampler, io_dtype):
    def rounded(x, c_noise, *, shift):
        return network(x, c_noise, shift=shift).to(x.dtype)

    model = pydiffcore.Denoiser(rounded, prediction.eps(VP), denoiser().condition)
    draw = pydiffcore.capture(model, plan(sampler), SHAPE, io_dtype=io_dtype)
    for _ in range(2):
        assert equal(draw(SEEDS), drawn(model, plan(sampler), io_dtype=io_dtype))
    assert (draw.kind, draw.graphs) == ("eager", 0)
    assert "cpu" in draw.reason
    assert draw.memory >= len(SEEDS) * 15 * (4 + 2)


def test_one_recording_serves_seeds_levels_conditions_and_states(recorded):
    model, draw = denoiser(), pydiffcore.capture(denoiser(), plan(), SHAPE)
    assert equal(draw(SEEDS), drawn(model, plan()))
    assert equal(draw([1, 2, 3]), drawn(model, plan(), [1, 2, 3]))
    assert equal(draw(SEEDS, plan=plan(rho=3.0)), drawn(model, plan(rho=3.0)))
    assert equal(draw(SEEDS), drawn(model, plan()))
    other = {"shift": torch.tensor([1.0, -1.0, 0.5])}
    changed = pydiffcore.Denoiser(network, prediction.eps(VP), other)
    assert equal(draw(SEEDS, condition=other), drawn(changed, plan()))
    x = 80 * torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    assert equal(draw(SEEDS, x=x), drawn(model, plan(), x=x))
    assert equal(draw(SEEDS, x=2 * x, plan=plan(rho=3.0)), drawn(model, plan(rho=3.0), x=2 * x))
    assert equal(draw(SEEDS), drawn(model, plan()))
    assert (draw.kind, draw.reason, draw.graphs, len(recorded)) == ("graph", "", 1, 1)


def test_another_sampler_of_equal_calls_and_registers_needs_no_recording(recorded):
    model, draw = denoiser(), pydiffcore.capture(denoiser(), plan(samplers.euler), SHAPE)
    draw(SEEDS)
    assert equal(draw(SEEDS, plan=plan()), drawn(model, plan()))
    assert len(recorded) == 1
    assert equal(draw(SEEDS, plan=plan(samplers.dpmpp_2m)), drawn(model, plan(samplers.dpmpp_2m)))
    assert equal(draw(SEEDS, plan=plan(n=9)), drawn(model, plan(n=9)))
    assert len(recorded) == 3


def test_guidance_weights_change_without_a_recording(recorded):
    def guided(weight, interval=(0.0, float("inf"))):
        free = {"shift": torch.zeros(3)}
        return denoiser(guidance=pydiffcore.Guidance(weight, free, interval))

    draw = pydiffcore.capture(guided(2.0), plan(), SHAPE)
    for weight in (2.0, 4.0, torch.tensor([0.0, 3.0, 1.0])):
        assert equal(draw(SEEDS, weight=weight), drawn(guided(weight), plan()))
    assert len(recorded) == 1
    assert equal(draw(SEEDS, weight=1.0), drawn(guided(1.0), plan()))  # no unconditional call
    assert len(recorded) == 2
    draw = pydiffcore.capture(guided(2.0, (0.1, 5.0)), plan(), SHAPE)
    assert equal(draw(SEEDS), drawn(guided(2.0, (0.1, 5.0)), plan()))


def test_an_initial_state_survives_the_warm_up(recorded):
    x = 80 * torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    draw = pydiffcore.capture(denoiser(), plan(), SHAPE)
    assert equal(draw(SEEDS, x=x), drawn(denoiser(), plan(), x=x))


def test_a_first_draw_in_inference_mode_serves_later_ones_outside_of_it(recorded):
    model, draw = denoiser(), pydiffcore.capture(denoiser(), plan(), SHAPE)
    other = {"shift": torch.tensor([1.0, -1.0, 0.5])}
    changed = pydiffcore.Denoiser(network, prediction.eps(VP), other)
    with torch.inference_mode():
        draw(SEEDS)
    assert equal(draw([1, 2, 3]), drawn(model, plan(), [1, 2, 3]))
    assert equal(draw(SEEDS, condition=other), drawn(changed, plan()))
    assert equal(draw(SEEDS, plan=plan(rho=3.0)), drawn(model, plan(rho=3.0)))
    with torch.inference_mode():
        assert equal(draw(SEEDS), drawn(model, plan()))
    assert len(recorded) == 1


class Event:
    """The end of a run that is still under way."""

    waited = False

    def synchronize(self):
        self.waited = True


def test_a_graph_is_dropped_after_its_last_run(recorded):
    model = pydiffcore.Denoiser(lambda x, t: 0.3 * x, prediction.eps(VP))
    draw = pydiffcore.capture(model, plan(), SHAPE, graphs=1)
    draw(range(1))
    (loop,) = draw._loops.values()
    loop._done = Event()
    draw(range(2))
    assert loop._done.waited
    assert draw.graphs == 1


def test_few_graphs_are_kept(recorded):
    model = pydiffcore.Denoiser(lambda x, t: 0.3 * x, prediction.eps(VP))
    draw = pydiffcore.capture(model, plan(), SHAPE, graphs=2)
    for batch in (1, 2, 3, 1):
        assert equal(draw(range(batch)), drawn(model, plan(), range(batch)))
        assert draw.graphs <= 2
    assert len(recorded) == 4
    draw(range(3))
    assert len(recorded) == 4
    assert draw.memory > 2000


def test_a_learned_variance_is_recorded_too(recorded):
    betas = process.discrete(process.linear_betas(20))
    plan = pydiffcore.trace(
        samplers.ddpm, levels.trailing(5, betas), prediction.eps(betas), variance="learned_range"
    )

    def twice(x, t):
        return torch.cat([0.3 * x, torch.tanh(x)], dim=1)

    model = pydiffcore.Denoiser(twice, prediction.eps(betas), learned_variance=True)
    draw = pydiffcore.capture(model, plan, SHAPE)
    assert equal(draw(SEEDS), drawn(model, plan))
    assert equal(draw([1, 2, 3]), drawn(model, plan, [1, 2, 3]))
    assert len(recorded) == 1
    cosine = process.discrete(process.cosine_betas(20))  # other bounds of the deviation
    other = pydiffcore.trace(
        samplers.ddpm, levels.trailing(5, cosine), prediction.eps(betas), variance="learned_range"
    )
    assert equal(draw(SEEDS, plan=other), drawn(model, other))
    assert len(recorded) == 2


def test_a_plan_of_many_registers_runs_as_torch_operations():
    model = pydiffcore.Denoiser(lambda x, t: 0.3 * x, prediction.eps(VP))

    def remembering(x, denoise, levels, noise):
        """Euler's method, whose second half adds what each step of the first predicted."""
        kept, half = [], len(levels) // 2
        for i, (sigma, sigma_next) in enumerate(levels.steps()):
            D = denoise(x, sigma)
            kept.append(D)
            x = x + (sigma_next / sigma - 1) * (x - D)
            x = x + 0.01 * kept[i - half] if i >= half else x
        return x

    plan = pydiffcore.trace(remembering, levels.karras(20), prediction.eps(VP))
    assert plan.registers > 8
    draw = pydiffcore.capture(model, plan, SHAPE)
    for seeds in (SEEDS, [1, 2, 3]):
        assert equal(draw(seeds), drawn(model, plan, seeds))
    x = 80 * torch.ones(3, *SHAPE)
    assert equal(draw(SEEDS, x=x), drawn(model, plan, x=x))
    assert draw.kind == "eager"
