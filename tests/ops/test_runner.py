# SPDX-License-Identifier: Apache-2.0
"""The runner: backends agree, outputs may alias or need gradients, bad input is named."""

import multiprocessing

import numpy as np
import pytest
import torch
from cases import CASES, ids

import pydiffcore
from pydiffcore import Guidance, Runner, exact, levels, prediction, process, samplers

PLAN = pydiffcore.trace(samplers.dpmpp_2m_sde, levels.karras(6, 0.02), prediction.edm())
SHAPE, SEEDS = (3, 4), range(5)


def network(x, c_noise):
    """A smooth map with structure, cheap and deterministic."""
    return (torch.tanh(x.float()) * 0.7 + 0.1 * c_noise.float()[:, None, None]).to(x.dtype)


def run(plan=PLAN, F=network, shape=SHAPE, seeds=SEEDS, **kw):
    runner = Runner(plan, shape, seeds, **kw)
    state = runner.start()
    for c_noise in plan.c_noise:
        label = torch.full((len(seeds),), float(c_noise))
        state = runner.advance(F(state, label))
    return state


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clip", [None, (-0.8, 0.8)])
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_native_rows_are_the_reference_rows_to_the_bit(case, clip, dtype):
    plan = pydiffcore.trace(
        case.sampler, case.levels(5), prediction.edm(), clip=clip, **case.options
    )
    kw = {"plan": plan, "dtype": dtype}
    assert torch.equal(run(backend="native", **kw), run(backend="reference", **kw))


@pytest.mark.parametrize("io", [torch.bfloat16, torch.float16, torch.float64])
def test_io_dtypes_agree_with_the_reference(io):
    native, reference = (run(io_dtype=io, backend=b) for b in ("native", "reference"))
    assert native.dtype == torch.float32
    assert torch.equal(native, reference)


def test_a_device_named_otherwise_than_its_tensors_takes_noise_of_a_function():
    """As "cuda" is, whose tensors are on "cuda:0"; here those of "cpu:0" are on "cpu"."""

    def noise(sigma, sigma_next):
        return torch.full((5, *SHAPE), sigma - sigma_next)

    named, plain = (run(noise=noise, device=device) for device in ("cpu:0", "cpu"))
    assert torch.equal(named, plain)


def test_a_sample_does_not_depend_on_its_batch(mixture):
    plan = pydiffcore.trace(samplers.ancestral, levels.karras(7))
    together = pydiffcore.sample(mixture, plan, shape=(3,), seeds=range(10), dtype=torch.float64)
    for batch in (1, 3, 7):
        apart = pydiffcore.sample(
            mixture, plan, shape=(3,), seeds=range(10), batch=batch, dtype=torch.float64
        )
        assert torch.equal(apart, together)
    backwards = pydiffcore.sample(
        mixture, plan, shape=(3,), seeds=range(9, -1, -1), dtype=torch.float64
    )
    assert torch.equal(backwards.flip(0), together)


def test_identity_network_that_returns_its_own_input():
    out = run(F=lambda x, c: x)
    assert torch.equal(out, run(F=lambda x, c: x.clone()))


def test_output_that_is_a_view_of_the_input():
    out = run(F=lambda x, c: x.transpose(1, 2).transpose(1, 2))
    assert torch.equal(out, run(F=lambda x, c: x.clone()))
    shuffled = run(F=lambda x, c: x.permute(0, 2, 1).reshape(x.shape))
    apart = run(F=lambda x, c: x.clone().permute(0, 2, 1).reshape(x.shape))
    assert torch.equal(shuffled, apart)


def test_output_that_overlaps_the_registers():
    plan = pydiffcore.trace(samplers.dpmpp_2m, levels.karras(5, 0.1))

    def use(detached):
        runner = Runner(plan, (4,), [1, 2, 3])
        runner._state.zero_()
        x = runner.start()
        for _ in range(plan.nfe):
            across = runner._state.view(-1)[3:15].view(3, 4)
            x = runner.advance(across.clone() if detached else across)
        return x.clone()

    assert torch.equal(use(detached=False), use(detached=True))


def test_a_network_that_changes_its_input_is_told_where_that_is_the_state():
    """D(x, sigma) in the EDM frame is given register 0; a raw network has an input of its own."""
    plan = pydiffcore.trace(samplers.dpmpp_2m, levels.karras(5, 0.1))
    with pytest.raises(RuntimeError, match="changed its input in place"):
        run(plan, F=lambda x, c: x.mul_(0.5))
    with torch.inference_mode(), pytest.raises(RuntimeError, match="changed its input in place"):
        run(plan, F=lambda x, c: x.add_(1.0) * 0.1)
    assert torch.equal(run(F=lambda x, c: x.mul_(0.5)), run(F=lambda x, c: x * 0.5))


def test_recycled_output_buffer_between_the_two_guided_calls():
    """A network that writes both outputs into one buffer."""
    buffer = torch.empty((5, *SHAPE))

    def recycling(x, c_noise, cond=None):
        return buffer.copy_(network(x, c_noise) + (0.3 if cond is None else cond))

    def fresh(x, c_noise, cond=None):
        return network(x, c_noise) + (0.3 if cond is None else cond)

    guidance = Guidance(2.5, {"cond": None})
    results = [
        pydiffcore.sample(
            pydiffcore.Denoiser(F, prediction.edm(), {"cond": 1.0}, guidance),
            PLAN,
            shape=SHAPE,
            seeds=SEEDS,
        )
        for F in (recycling, fresh)
    ]
    assert torch.equal(*results)


def test_guidance_is_the_formula_per_sample_and_per_level():
    weight = torch.tensor([0.0, 1.0, 1.5, 3.0, -1.0])

    def fresh(x, c_noise, cond=None):
        return network(x, c_noise) + (0.3 if cond is None else cond)

    model = pydiffcore.Denoiser(
        fresh, prediction.edm(), {"cond": 1.0}, Guidance(weight, {"cond": None}, (0.1, 20.0))
    )
    out = pydiffcore.sample(model, PLAN, shape=SHAPE, seeds=SEEDS, dtype=torch.float64)

    calls = iter(PLAN.sigma)

    def by_hand(x, c_noise):
        w = weight.double() if 0.1 <= next(calls) <= 20.0 else torch.ones(5).double()
        u, c = fresh(x, c_noise), fresh(x, c_noise, 1.0)
        return u + w[:, None, None] * (c - u)

    hand = pydiffcore.Denoiser(by_hand, prediction.edm())
    expected = pydiffcore.sample(hand, PLAN, shape=SHAPE, seeds=SEEDS, dtype=torch.float64)
    assert torch.allclose(out, expected, rtol=1e-12, atol=1e-12)


def test_gradients_flow_through_the_rows():
    scale = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)

    def out_of(s):
        model = pydiffcore.Denoiser(lambda x, c: s * torch.tanh(x), prediction.edm())
        return pydiffcore.sample(
            model, PLAN, shape=SHAPE, seeds=SEEDS, dtype=torch.float64, grad=True
        )

    out_of(scale).square().sum().backward()
    with torch.no_grad():
        h = 1e-6
        slope = (
            out_of(scale.detach() + h).square().sum() - out_of(scale.detach() - h).square().sum()
        )
    assert float(scale.grad) == pytest.approx(float(slope) / (2 * h), rel=1e-6)


@pytest.mark.parametrize("kind", [prediction.edm(), prediction.denoised()])
def test_gradient_of_the_initial_state(kind):
    """With an input of its own, and with register 0 as the input."""
    plan = PLAN.bind(kind)
    x = torch.randn((5, *SHAPE), dtype=torch.float64, requires_grad=True)
    direction = torch.randn((5, *SHAPE), dtype=torch.float64)

    def out_of(start):
        runner = Runner(plan, SHAPE, SEEDS, dtype=torch.float64)
        state = runner.start(start)
        for _ in range(plan.nfe):
            state = runner.advance(torch.tanh(state))
        return state.sum()

    (grad,) = torch.autograd.grad(out_of(x), x)
    h = 1e-6
    with torch.no_grad():
        slope = (out_of(x + h * direction) - out_of(x - h * direction)) / (2 * h)
    assert float((grad * direction).sum()) == pytest.approx(float(slope), rel=1e-5)


def test_registers_that_no_row_has_set_are_not_read():
    """The first output requires a gradient: torch operations take over from the native rows."""
    runner = Runner(PLAN, SHAPE, SEEDS)
    runner._state[1:] = float("nan")
    state = runner.start()
    for _ in range(PLAN.nfe):
        state = runner.advance(torch.tanh(state.detach()).requires_grad_())
    assert torch.isfinite(state).all()


def test_no_graph_is_recorded_without_grad():
    weight = torch.ones((), requires_grad=True)
    model = pydiffcore.Denoiser(lambda x, c: weight * torch.tanh(x), prediction.edm())
    out = pydiffcore.sample(model, PLAN, shape=SHAPE, seeds=SEEDS)
    assert not out.requires_grad


def test_explicit_state_and_noise():
    """The kernel's own draws, passed in as tensors, give the same run."""
    own = run(dtype=torch.float64)
    kw = {"device": "cpu", "dtype": torch.float64}
    from pydiffcore.ops.noise import INITIAL, SAMPLER

    x = PLAN.init_scale * pydiffcore.normal(SEEDS, SHAPE, purpose=INITIAL, stream=0, **kw)
    noise = torch.stack(
        [
            pydiffcore.normal(SEEDS, SHAPE, purpose=SAMPLER, stream=m, **kw)
            for m in range(PLAN.draws)
        ]
    )
    for backend in ("native", "reference"):
        runner = Runner(PLAN, SHAPE, SEEDS, dtype=torch.float64, noise=noise, backend=backend)
        state = runner.start(x)
        for c in PLAN.c_noise:
            state = runner.advance(network(state, torch.full((5,), float(c))))
        assert torch.equal(state, own)


def test_a_torch_generator_gives_torch_s_numbers():
    plan = pydiffcore.trace(samplers.ancestral, levels.explicit([4.0, 2.0, 1.0, 0.0]))
    generator = torch.Generator().manual_seed(3)
    expected = torch.Generator().manual_seed(3)
    x = torch.ones(2, 3)
    out = pydiffcore.sample(
        lambda x, s: 0 * x, plan, shape=(3,), seeds=[0, 1], x=x, noise=generator
    )
    stack = torch.stack([torch.randn((1, 2, 3), generator=expected)[0] for _ in range(2)])
    again = pydiffcore.sample(lambda x, s: 0 * x, plan, shape=(3,), seeds=[0, 1], x=x, noise=stack)
    assert torch.equal(out, again)


def test_channels_last_and_strided_inputs_work():
    F = torch.randn(5, 4, 6, 8)
    plan = pydiffcore.trace(samplers.euler, levels.karras(1))

    def result(output):
        runner = Runner(plan, (4, 6, 8), SEEDS)
        runner.start()
        return runner.advance(output).clone()

    expected = result(F)
    assert torch.equal(result(F.contiguous(memory_format=torch.channels_last)), expected)
    wide = torch.empty(5, 4, 6, 16)
    wide[..., ::2] = F
    assert torch.equal(result(wide[..., ::2]), expected)
    x = torch.randn(5, 4, 6, 8)
    runner = Runner(plan, (4, 6, 8), SEEDS)
    assert torch.equal(runner.start(x.contiguous(memory_format=torch.channels_last)), x)


def test_restart_repeats_the_run():
    runner = Runner(PLAN, SHAPE, SEEDS)
    outs = []
    for _ in range(2):
        state = runner.start()
        for _ in range(PLAN.nfe):
            state = runner.advance(torch.tanh(state))
        outs.append(state.clone())
    assert torch.equal(*outs)


def _identity_run():
    """No torch operation in it: torch's own parallel loops hang in a forked child."""
    return run(F=lambda x, c: x, seeds=range(2000))


def _in_child(queue):
    queue.put(_identity_run().numpy().tobytes())


def test_fork_after_a_parallel_run():
    before = _identity_run().numpy().tobytes()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_in_child, args=(queue,), daemon=True)
    child.start()
    assert queue.get() == before
    child.join(timeout=60)
    assert child.exitcode == 0


def test_many_registers_fall_back_or_say_why():
    def long_memory(x, denoise, levels, noise):
        past = []
        for sigma, _sigma_next in levels.steps():
            past = [denoise(x, sigma), *past][:10]
            x = 0.5 * x + sum(0.01 * (i + 1) * D for i, D in enumerate(past))
        return x

    plan = pydiffcore.trace(long_memory, levels.karras(40))
    assert plan.registers == 10
    with pytest.raises(RuntimeError, match="native backend cannot run this plan"):
        Runner(plan, SHAPE, SEEDS, backend="native")
    data = exact.gaussian(np.zeros(3), np.ones(3))
    out = pydiffcore.sample(data, plan, shape=(3,), seeds=SEEDS, dtype=torch.float64)
    expected = pydiffcore.direct(long_memory, data, levels.karras(40), shape=(3,), seeds=SEEDS)
    assert torch.allclose(out, expected, rtol=1e-11)


def test_scaled_start_has_the_stated_deviation():
    vp = process.vp()
    plan = pydiffcore.trace(samplers.euler, levels.uniform_t(5, vp), prediction.eps(vp), scaling=vp)
    x = Runner(plan, (4096,), range(8)).start()
    assert float(x.std()) == pytest.approx(plan.init_scale * plan.c_in[0] / plan.scale[0], rel=0.02)


def noisy(draws):
    """A sampler with so many draws in each step."""

    def sampler(x, denoise, levels, noise):
        for sigma, sigma_next in levels.steps():
            D = denoise(x, sigma)
            x = D + sigma_next / sigma * (x - D)
            for i in range(draws):
                x = x + (0.1 + 0.01 * i) * sigma_next * noise()
        return x

    return pydiffcore.trace(sampler, levels.karras(3))


@pytest.mark.parametrize("draws", [7, 8, 9])
def test_many_draws_a_row_run_natively_or_by_torch(draws):
    """The kernels take 8; the draw of the initial state is in row 0, which has none of these."""
    plan = noisy(draws)
    runner = Runner(plan, (5,), [1, 2])
    assert runner.native == (draws <= 8)
    expected = Runner(plan, (5,), [1, 2], backend="reference")
    x, y = runner.start(), expected.start()
    for _ in range(plan.nfe):
        x, y = runner.advance(0.5 * x), expected.advance(0.5 * y)
    torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-5)
    if draws > 8:
        with pytest.raises(RuntimeError, match=f"a row has {draws} draws"):
            Runner(plan, (5,), [1, 2], backend="native")
