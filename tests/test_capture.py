# SPDX-License-Identifier: Apache-2.0
"""The captured loop: on a CPU the eager one, and, recorded by a stand-in for CUDA's graphs, the
launches of a CUDA program over memory of the host."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import pydiffcore
from benchmarks.policy import policy
from pydiffcore import levels, loop, prediction, process, samplers
from pydiffcore.ops import graph, runner
from pydiffcore.ops.program import bind

VP = process.vp()
SHAPE, SEEDS = (3, 5), [7, 8, 2**63]


def network(x, c_noise, *, shift):
    return 0.3 * x + shift[:, None, None] + 0.01 * c_noise[:, None, None]


def denoiser(**options):
    condition = {"shift": torch.tensor([0.1, 0.2, 0.3])}
    return pydiffcore.Denoiser(network, prediction.eps(VP), condition, **options)


def plan(sampler=samplers.ancestral, rho=7.0, n=6):
    return pydiffcore.trace(sampler, levels.karras(n, rho=rho), prediction.eps(VP))


class Tape(TorchDispatchMode):
    """A stand-in for a CUDA graph: launches and operations with the addresses that they had.

    No Python of the loop runs when it is replayed: a number that was computed on the host, or a
    tensor that was not where it is now, stays as it was recorded.
    """

    def __init__(self):
        super().__init__()
        self.steps, self.records = [], False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if self.records:
            self.steps.append(lambda: self.again(func, args, kwargs or {}, made))
        return made

    @staticmethod
    def again(func, args, kwargs, made):
        fresh = func(*args, **kwargs)
        for old, new in zip(tree_leaves(made), tree_leaves(fresh), strict=True):
            if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                old.copy_(new)

    def replay(self):
        for step in self.steps:
            step()


@pytest.fixture
def recorded(monkeypatch):
    """Graphs that replay on the CPU: their launches are those of the CUDA kernels' body."""
    tapes, now = [], []

    def record(body, once, device):
        once()
        tape = Tape()
        tapes.append(tape)
        now.append(tape)
        tape.records = True
        with tape:
            body()
        tape.records = False
        now.clear()
        return graph.Graph(tape.replay, 1000)

    def bound(**table):
        program = bind(**table, host_loop=(2, 64))

        def advance(*launch):
            for tape in now:
                tape.steps.append(lambda: program.advance(*launch))
            return program.advance(*launch)

        return dataclasses.replace(program, advance=advance)

    monkeypatch.setattr(graph, "record", record)
    monkeypatch.setattr(loop.Loop, "_reason", lambda self: "")
    monkeypatch.setattr(runner, "bind", bound)
    return tapes


def equal(a, b):
    return torch.equal(a, b) and bool(a.isfinite().all())


def drawn(model, plan, seeds=SEEDS, **options):
    return pydiffcore.sample(model, plan, shape=SHAPE, seeds=seeds, **options)


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


def test_what_cannot_be_recorded_runs_eagerly_and_says_why(recorded, monkeypatch):
    def refuse(body, once, device):
        once()
        raise graph.CaptureError("it waits for the device")

    monkeypatch.setattr(graph, "record", refuse)
    draw, seen = pydiffcore.capture(denoiser(), plan(), SHAPE), []
    for _ in range(2):
        assert equal(draw(SEEDS), drawn(denoiser(), plan()))
        assert (draw.kind, draw.reason) == ("eager", "the network: it waits for the device")
    draw(SEEDS, on_step=lambda done, n: seen.append((done, n)))
    assert seen == [(i, 6) for i in range(1, 7)]
    assert "on_step" in draw.reason


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


def test_tensors_inside_a_condition_are_new_at_each_call(recorded):
    def seeing(x, c_noise, *, observation):
        return 0.3 * x + observation["image"].mean() + observation["more"][1]

    def observed(value):
        image = torch.zeros(60, 60)
        image[30, 30] = value  # which no print of it shows
        return {"observation": {"image": image, "more": [2, torch.tensor(value)]}}

    model = pydiffcore.Denoiser(seeing, prediction.eps(VP), observed(0.0))
    draw = pydiffcore.capture(model, plan(), SHAPE)
    for value in (0.0, 1.0, 5.0):
        given = observed(value)
        expected = drawn(pydiffcore.Denoiser(seeing, prediction.eps(VP), given), plan())
        assert equal(draw(SEEDS, condition=given), expected)
    assert len(recorded) == 1


def test_a_condition_that_cannot_be_told_from_another_is_refused():
    model = pydiffcore.Denoiser(network, prediction.eps(VP), {"shift": np.zeros(3)})
    draw = pydiffcore.capture(model, plan(), SHAPE)
    with pytest.raises(TypeError, match=r"condition\['shift'\] is ndarray, expected tensors"):
        draw(SEEDS)


def test_a_value_that_is_not_finite_is_found_at_the_end(recorded):
    def late(x, c_noise):
        return torch.where(c_noise[:, None, None] < 100, torch.nan, x)

    model = pydiffcore.Denoiser(late, prediction.eps(VP))
    draw = pydiffcore.capture(model, plan(), SHAPE)
    with pytest.raises(FloatingPointError, match="sample 0 of 3"):
        draw(SEEDS)
    assert draw(SEEDS, check=False).isnan().any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"condition": {"label": 1}}, r"condition has \['label'\]"),
        ({"weight": 2.0}, "no guidance"),
        ({"seeds": []}, "seeds is empty"),
        ({"plan": pydiffcore.trace(samplers.euler, levels.karras(3))}, "prediction"),
        ({"x": torch.full((3, *SHAPE), torch.nan)}, "x holds"),
        ({"condition": {"shift": torch.zeros(4)}}, "size|shape"),
    ],
)
def test_what_does_not_fit_is_named(recorded, arguments, words):
    draw = pydiffcore.capture(denoiser(), plan(), SHAPE)
    draw(SEEDS)
    with pytest.raises((ValueError, TypeError, RuntimeError), match=words):
        draw(**{"seeds": SEEDS, **arguments})
    assert equal(draw(SEEDS), drawn(denoiser(), plan()))


def test_graphs_must_be_kept():
    with pytest.raises(ValueError, match="graphs is 0"):
        pydiffcore.capture(denoiser(), plan(), SHAPE, graphs=0)


def test_a_runner_refuses_a_plan_of_another_layout():
    from pydiffcore.ops.renewable import RenewableRunner

    made = RenewableRunner(plan(), SHAPE, SEEDS)
    with pytest.raises(ValueError, match="plan has"):
        made.renew(plan=plan(n=4))
    with pytest.raises(ValueError, match="seeds has 2"):
        made.renew([1, 2])
    with pytest.raises(ValueError, match="without"):
        made.renew(guidance=np.ones(6))


class Attending(torch.nn.Module):
    """A small transformer over the actions of a chunk, told of time and observation."""

    def __init__(self):
        super().__init__()
        self.enter, self.leave = torch.nn.Linear(7, 16), torch.nn.Linear(16, 7)
        self.told = torch.nn.Linear(9, 16)
        layer = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.layers = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x, t, observation):
        told = self.told(torch.cat([observation, t[:, None]], dim=1))
        return self.leave(self.layers(self.enter(x) + told[:, None]))


def chunks():
    """(sampler, levels, prediction, plan's options) of the policies in use."""
    cosine, flow = process.discrete(process.cosine_betas(100)), process.flow()
    steps = levels.trailing(8, cosine)
    clipped = {"clip": (-1, 1), "scaling": cosine}
    return [
        (samplers.ddpm, steps, prediction.eps(cosine), clipped),
        (samplers.ddim, steps, prediction.eps(cosine), clipped),
        (
            samplers.euler,
            levels.uniform_t(8, flow, t_min=0.1, t_max=0.99),
            prediction.velocity(flow),
            {"scaling": flow},
        ),
    ]


@pytest.mark.parametrize("chunk", chunks(), ids=["ddpm", "ddim", "flow"])
@pytest.mark.parametrize("network", ["unet", "transformer"])
@torch.no_grad()
def test_a_policy_takes_new_observations_without_a_recording(recorded, chunk, network):
    torch.manual_seed(0)
    size = 64 if network == "unet" else 8
    body = policy([8, 16]) if network == "unet" else Attending().eval()
    sampler, steps, means, options = chunk
    plan = pydiffcore.trace(sampler, steps, means, **options)
    seen = torch.randn(5, 1, size)
    draw = pydiffcore.capture(
        pydiffcore.Denoiser(body, means, {"observation": torch.zeros(1, size)}), plan, (16, 7)
    )
    for seed, observation in enumerate(seen):
        model = pydiffcore.Denoiser(body, means, {"observation": observation})
        expected = pydiffcore.sample(model, plan, shape=(16, 7), seeds=[seed])
        assert equal(draw([seed], condition={"observation": observation}), expected)
    assert (len(recorded), draw.kind) == (1, "graph")
