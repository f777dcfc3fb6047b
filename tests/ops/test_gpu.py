# SPDX-License-Identifier: Apache-2.0
"""On a CUDA device: the bits of the CPU, no waiting, no allocation, any stream, replayed graphs."""

import cuda_battery
import native_battery as battery
import numpy as np
import pytest
import torch
from cuda_battery import DTYPES, ROWS, STATES, corruptions, normals, plan, runs, same

import pydiffcore
from pydiffcore import levels, prediction, samplers
from pydiffcore.ops import native
from pydiffcore.ops.noise import normal
from pydiffcore.ops.program import bind
from pydiffcore.ops.runner import Runner

REASON = native.unsupported("cuda") or (
    "" if torch.cuda.is_available() else "this torch sees no CUDA device"
)
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(REASON), reason=REASON or "no device"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode"),
]

SHAPE, SEEDS = (3, 16, 16), list(range(100, 108))
SAMPLERS = [samplers.heun, samplers.ancestral, samplers.dpmpp_2m]


def traced(sampler, n=6):
    return pydiffcore.trace(sampler, levels.karras(n), prediction=prediction.edm())


def network(x, c_noise=None):
    """Exact products and sums alone, so that every device agrees on F."""
    return 0.5 * x + 0.25


@pytest.fixture(autouse=True)
def one_algorithm(monkeypatch):
    """Convolutions whose bits do not depend on which algorithm was tried first."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)


@pytest.fixture
def no_sync():
    """Make every wait for the device an error."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_of_normals(dtype):
    rng = np.random.default_rng(0)
    shapes = [(1, 1), (300, 2), (70, 3), (40, 5), (9, 112), (2, 513), (3, 70001), (0, 4), (4, 0)]
    for shape in shapes:
        for offset in (0, 1, 2):
            assert same(normals(rng, shape, dtype, device="cuda", offset=offset))


def test_ten_million_normals():
    assert same(normals(np.random.default_rng(0), (10, 10**6), torch.float32, device="cuda"))


@pytest.mark.parametrize("io", DTYPES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("K", [1, 2, 3, 4, 5, 8])
def test_bits_of_rows(io, state, K):
    rng = np.random.default_rng(K)
    for M in range(3):
        for clip in (None, (-0.5, 0.75)):
            for guided in (None, "row", "sample"):
                shape = (int(rng.integers(1, 5)), int(rng.integers(1, 3000)))
                options = {"clip": clip, "guided": guided, "noise": bool(rng.integers(2))}
                options["scale"] = bool(rng.integers(2))
                assert same(runs(rng, shape, state, io, K, M, device="cuda", **options))


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (1, 1), (700, 2), (64, 112), (3, 65537)])
@pytest.mark.parametrize("offset", [0, 1, 2])
def test_bits_of_sizes_and_unaligned_memory(shape, offset):
    rng = np.random.default_rng(0)
    for io in DTYPES:
        assert same(runs(rng, shape, torch.float32, io, 2, 1, device="cuda", offset=offset))


@pytest.mark.parametrize("io", DTYPES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 16])
def test_bits_of_channels_last(io, state, channels):
    rng = np.random.default_rng(channels)
    for K in (1, 2, 3, 4, 5):
        for pixels in (1, 2, 63, 64, 1030):
            shape, offset = (int(rng.integers(1, 5)), channels * pixels), int(rng.integers(2))
            options = {"guided": "sample", "clip": (-0.5, 0.75), "noise": bool(rng.integers(2))}
            options |= {"channels": channels, "offset": offset, "device": "cuda"}
            assert same(runs(rng, shape, state, io, K, 1, **options))


@pytest.mark.parametrize("io", [torch.float32, torch.bfloat16])
def test_a_channels_last_output_is_read_where_it_lies(io, no_sync):
    torch.cuda.set_sync_debug_mode("default")
    last, plan = torch.channels_last, traced(samplers.ancestral)
    runner = Runner(plan, SHAPE, SEEDS, io_dtype=io, device="cuda", memory_format=last)
    F = torch.zeros(len(SEEDS), *SHAPE, device="cuda", dtype=io).to(memory_format=last)
    runner.start()
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    torch.cuda.set_sync_debug_mode("error")
    state = runner.start()
    for _ in range(plan.nfe):
        assert state.is_contiguous(memory_format=last)
        state = runner.advance(F)
    torch.cuda.set_sync_debug_mode("default")
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before


def test_a_captured_loop_of_a_channels_last_network():
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.SiLU()]
    body = torch.nn.Sequential(*layers, torch.nn.Conv2d(16, 3, 3, padding=1)).cuda().eval()
    model = pydiffcore.Denoiser(lambda x, c_noise: body(x), prediction.edm())
    plan, options = traced(samplers.heun), {"shape": SHAPE, "device": "cuda"}
    contiguous = pydiffcore.sample(model, plan, seeds=SEEDS, **options)
    body.to(memory_format=torch.channels_last)
    draw = pydiffcore.capture(model, plan, memory_format=torch.channels_last, **options)
    eager = pydiffcore.sample(
        model, plan, seeds=SEEDS, memory_format=torch.channels_last, **options
    )
    assert torch.equal(draw(SEEDS), eager)
    assert draw.kind == "graph"
    assert torch.allclose(eager, contiguous, rtol=1e-2, atol=1e-2)  # convolutions in TF32


@pytest.mark.parametrize("io", DTYPES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("K", [1, 2, 4, 5])
def test_bits_of_parts_at_rows_of_their_own(io, state, K):
    rng = np.random.default_rng(K)
    for shape, T in (((3, 12), 4), ((2, 10), 5), ((5, 3000), 3), ((300, 2), 1)):
        one = plan(rng, K, 1, shape[0], guided="sample", clip=(-0.5, 0.75))
        first, seeds = battery.tensor(rng, (K, *shape), state), battery.seeds_of(rng, shape[0])
        outputs = [battery.tensor(rng, shape, io) for _ in range(2)]
        rows = rng.integers(-1, ROWS, (shape[0], T)).astype(np.int32)
        sides = []
        for device in ("cpu", "cuda"):
            program = bind(
                **one, seeds=seeds, state=first.to(device, copy=True),
                input=torch.zeros(shape, dtype=io, device=device),
            )  # fmt: skip
            F, u = (output.to(device) for output in outputs)
            assert program.advance_rows(rows, F.data_ptr(), u.data_ptr()) == 0
            sides.append([program.state.cpu(), program.input.cpu()])
        assert same(sides)


def test_staggered_samples_and_parts(no_sync):
    torch.cuda.set_sync_debug_mode("default")
    drawn = traced(samplers.ancestral)
    expected = Runner(drawn, SHAPE, SEEDS, device="cuda")
    x = expected.start()
    for _ in range(drawn.nfe):
        x = expected.advance(network(x))
    runner = Runner(drawn, SHAPE, SEEDS, device="cuda")
    state, at = runner.start(), np.zeros((len(SEEDS), 3), int)
    torch.cuda.set_sync_debug_mode("error")
    rng = np.random.default_rng(0)
    while (at < drawn.nfe).any():
        rows = np.where((at < drawn.nfe) & (rng.random(at.shape) < 0.6), at + 1, -1)
        state = runner.advance_rows(network(state), rows)
        at += rows > 0
    torch.cuda.set_sync_debug_mode("default")
    runner.check()
    assert torch.equal(runner.query, x)


@pytest.mark.parametrize("images", [*DTYPES, torch.uint8])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_of_corruption(images, dtype):
    rng = np.random.default_rng(0)
    for shape in [(1, 1), (300, 2), (3, 112), (2, 513)]:
        assert same(corruptions(rng, shape, images, dtype, device="cuda"))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("dtype", STATES)
def test_bits_of_samples(sampler, dtype):
    model = pydiffcore.Denoiser(network, prediction.edm())
    arguments = {"shape": SHAPE, "seeds": SEEDS, "dtype": dtype, "backend": "native"}
    cpu = pydiffcore.sample(model, traced(sampler), **arguments)
    cuda = pydiffcore.sample(model, traced(sampler), device="cuda", **arguments)
    assert torch.equal(cuda.cpu(), cpu)


@pytest.mark.parametrize("io", [torch.float32, torch.bfloat16])
def test_the_loop_waits_for_nothing(io, no_sync):
    plan = traced(samplers.ancestral)
    torch.cuda.set_sync_debug_mode("default")
    runner = Runner(plan, SHAPE, SEEDS, io_dtype=io, device="cuda", backend="native")
    runner.start()  # uploads the table
    torch.cuda.set_sync_debug_mode("error")
    state = runner.start()
    for _ in range(plan.nfe):
        state = runner.advance(network(state))
    torch.cuda.set_sync_debug_mode("default")
    runner.check()
    assert torch.isfinite(state).all()


def test_noise_and_corruption_wait_for_nothing(no_sync):
    out = torch.empty(8, 64, device="cuda")
    native.normal(out, np.arange(8, dtype=np.uint64), 1, 2)
    images = torch.zeros(8, 64, dtype=torch.uint8, device="cuda")
    coefficients = np.ones((8, 4), np.float32)
    seeds = np.arange(8, dtype=np.uint64)
    target = torch.full_like(out, torch.nan)
    native.corrupt(images, coefficients, seeds, out, target, purpose=2, stream=0)
    torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(out).all()
    assert torch.isfinite(target).all()


def test_the_loop_allocates_nothing():
    plan = traced(samplers.ancestral)
    runner = Runner(plan, SHAPE, SEEDS, device="cuda", backend="native")
    F = torch.zeros(len(SEEDS), *SHAPE, device="cuda")
    runner.start()
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    runner.start()
    for _ in range(plan.nfe):
        runner.advance(F)
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before


def test_a_side_stream():
    plan, shape = traced(samplers.heun), (3, 256, 256)
    expected = pydiffcore.sample(
        pydiffcore.Denoiser(network, prediction.edm()), plan, shape=shape, seeds=SEEDS
    )
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.cuda._sleep(10**7)  # a launch on another stream would overtake this
        runner = Runner(plan, shape, SEEDS, device="cuda", backend="native")
        state = runner.start()
        for _ in range(plan.nfe):
            state = runner.advance(network(state))
    side.synchronize()
    assert torch.equal(state.cpu(), expected)


def test_the_first_output_that_is_not_finite_is_named():
    plan = traced(samplers.euler)
    runner = Runner(plan, SHAPE, SEEDS, device="cuda", backend="native")
    state = runner.start()
    for call in range(plan.nfe):
        F = network(state)
        if call >= 2:
            F[5, 0, 0, 0] = float("nan")
        state = runner.advance(F)
    with pytest.raises(FloatingPointError, match=r"call 2 .* sample 5 .*seed 105"):
        runner.check()
    runner.start()
    runner.check()


def test_one_captured_row_replays_as_all_rows():
    """The row comes from the counter, seeds and coefficients from memory: no capture anew."""
    rng, shape = np.random.default_rng(0), (3, 40)
    tables = [plan(rng, 2, 1, 3) for _ in range(2)]
    first = battery.tensor(rng, (2, *shape), torch.float32)
    F = battery.tensor(rng, shape, torch.float32)
    seeds = [battery.seeds_of(rng, 3) for _ in range(2)]
    state, input, F_cuda = first.cuda(), torch.zeros(shape).cuda(), F.cuda()

    def bound(number, state, input):
        return bind(**tables[number], seeds=seeds[number], state=state, input=input)

    on_device, other = bound(0, state, input), bound(1, state.clone(), input.clone())
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        on_device.advance(-1, F_cuda.data_ptr(), 0, 0)
    for number in range(2):
        if number:
            on_device.block.copy_(other.block)
        state.copy_(first)
        cpu = bound(number, first.clone(), torch.zeros(shape))
        for row in range(ROWS):
            graph.replay()
            assert cpu.advance(row, F.data_ptr(), 0, 0) == 0
            assert torch.equal(state.cpu(), cpu.state)


def small_unet():
    """A network of cuDNN's and cuBLAS's kernels, the same for every call."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.SiLU(), torch.nn.GroupNorm(4, 16)]
    body = torch.nn.Sequential(*layers, torch.nn.Conv2d(16, 3, 3, padding=1)).cuda().eval()
    return lambda x, c_noise, shift: (
        body(x) + shift[:, None, None, None] * c_noise.view(-1, 1, 1, 1)
    )


def conditioned(function, guidance=None):
    shift = torch.linspace(-1, 1, len(SEEDS), device="cuda")
    return pydiffcore.Denoiser(function, prediction.edm(), {"shift": shift}, guidance)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_captured_loop_draws_the_eager_samples(sampler):
    model, plan = conditioned(small_unet()), traced(sampler)
    draw = pydiffcore.capture(model, plan, SHAPE, device="cuda")
    for seeds in (SEEDS, [seed + 1000 for seed in SEEDS]):
        eager = pydiffcore.sample(model, plan, shape=SHAPE, seeds=seeds, device="cuda")
        assert torch.equal(draw(seeds), eager)
    other = pydiffcore.trace(sampler, levels.karras(6, rho=3), prediction=prediction.edm())
    eager = pydiffcore.sample(model, other, shape=SHAPE, seeds=SEEDS, device="cuda")
    assert torch.equal(draw(SEEDS, plan=other), eager)
    x = 80 * normal(SEEDS, SHAPE, purpose=1, device="cuda")
    eager = pydiffcore.sample(model, plan, shape=SHAPE, seeds=SEEDS, device="cuda", x=x)
    assert torch.equal(draw(SEEDS, x=x), eager)
    assert (draw.kind, draw.reason, draw.graphs) == ("graph", "", 1)
    assert draw.memory > 0


def test_a_captured_loop_takes_conditions_and_weights():
    free = {"shift": torch.zeros(len(SEEDS), device="cuda")}
    function, plan = small_unet(), traced(samplers.ancestral)
    draw = pydiffcore.capture(
        conditioned(function, pydiffcore.Guidance(2.0, free)), plan, SHAPE, device="cuda"
    )
    for weight, shift in ((2.0, 1.0), (5.0, -2.0)):
        condition = {"shift": torch.full((len(SEEDS),), shift, device="cuda")}
        model = pydiffcore.Denoiser(
            function, prediction.edm(), condition, pydiffcore.Guidance(weight, free)
        )
        eager = pydiffcore.sample(model, plan, shape=SHAPE, seeds=SEEDS, device="cuda")
        assert torch.equal(draw(SEEDS, condition=condition, weight=weight), eager)
    assert (draw.kind, draw.graphs) == ("graph", 1)


def test_a_replay_waits_for_nothing(no_sync):
    torch.cuda.set_sync_debug_mode("default")
    draw = pydiffcore.capture(
        conditioned(small_unet()), traced(samplers.heun), SHAPE, device="cuda"
    )
    draw(SEEDS)
    torch.cuda.set_sync_debug_mode("error")
    x = draw([seed + 1 for seed in SEEDS], check=False)
    torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(x).all()


def test_a_network_that_waits_runs_eagerly_and_the_reason_is_said():
    def waits(x, c_noise):
        return x * float(x.abs().max() > 0)

    model = pydiffcore.Denoiser(waits, prediction.edm())
    draw = pydiffcore.capture(model, traced(samplers.heun), SHAPE, device="cuda")
    eager = pydiffcore.sample(model, traced(samplers.heun), shape=SHAPE, seeds=SEEDS, device="cuda")
    assert torch.equal(draw(SEEDS), eager)
    assert draw.kind == "eager"
    assert "waits" in draw.reason
    assert torch.cuda.get_sync_debug_mode() == 0


def test_a_captured_value_that_is_not_finite_is_found():
    model = conditioned(lambda x, c_noise, shift: x / shift.view(-1, 1, 1, 1).abs())
    draw = pydiffcore.capture(model, traced(samplers.euler), SHAPE, device="cuda")
    draw(SEEDS)
    shift = torch.ones(len(SEEDS), device="cuda")
    shift[2] = 0
    with pytest.raises(FloatingPointError, match="sample 2 of 8"):
        draw(SEEDS, condition={"shift": shift})


def test_captured_loops_of_two_streams_do_not_mix():
    model, plan = conditioned(small_unet()), traced(samplers.ancestral)
    draws = [pydiffcore.capture(model, plan, SHAPE, device="cuda") for _ in range(2)]
    streams = [torch.cuda.Stream() for _ in range(2)]
    expected = [
        pydiffcore.sample(model, plan, shape=SHAPE, seeds=[s + k for s in SEEDS], device="cuda")
        for k in range(2)
    ]
    torch.cuda.synchronize()
    for _ in range(3):
        results = []
        for k, (draw, stream) in enumerate(zip(draws, streams, strict=True)):
            with torch.cuda.stream(stream):
                results.append(draw([s + k for s in SEEDS], check=False))
        torch.cuda.synchronize()
        assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=True))


def test_errors_carry_cudas_words():
    with pytest.raises(RuntimeError, match="cudaError"):
        native._core.cuda_normal(0, 0, 1, 1, 0, 0, 0, (torch.cuda.device_count(), 0, 0), 0)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="this machine has one CUDA device")
def test_a_device_that_is_not_current():
    z = normal(SEEDS, SHAPE, purpose=1, device="cuda:1")
    assert torch.equal(z.cpu(), normal(SEEDS, SHAPE, purpose=1))
    assert torch.cuda.current_device() == 0
    assert same(
        cuda_battery.runs(np.random.default_rng(0), (3, 70), torch.float32, torch.float32, 2, 1,
                          device="cuda:1")
    )  # fmt: skip
