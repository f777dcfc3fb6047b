# SPDX-License-Identifier: Apache-2.0
"""Captured loops on a CUDA device: they draw the eager samples, and say why where they cannot."""

import native_battery as battery
import numpy as np
import pytest
import torch
from cuda_battery import ROWS, plan
from gpu_cases import MARKS, SAMPLERS, SEEDS, SHAPE, traced

import pydiffcore
from pydiffcore import levels, prediction, samplers
from pydiffcore.ops.noise import normal
from pydiffcore.ops.program import bind

pytestmark = MARKS


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


@pytest.mark.parametrize(
    ("dtype", "io"),
    [
        (torch.float32, torch.bfloat16),
        (torch.float64, torch.bfloat16),
        (torch.float64, torch.float64),
    ],
)
def test_a_captured_loop_of_other_dtypes(dtype, io):
    def shifted(x, c_noise, shift):
        return 0.5 * x + (shift * c_noise).to(x.dtype).view(-1, 1, 1, 1)

    options = {"shape": SHAPE, "dtype": dtype, "io_dtype": io, "device": "cuda"}
    model, plan = conditioned(shifted), traced(samplers.ancestral)
    draw = pydiffcore.capture(model, plan, **options)
    for seeds in (SEEDS, [seed + 1000 for seed in SEEDS]):
        x = draw(seeds)
        assert x.dtype == dtype
        assert torch.equal(x, pydiffcore.sample(model, plan, seeds=seeds, **options))
    assert (draw.kind, draw.reason, draw.graphs) == ("graph", "", 1)


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


def test_a_condition_on_the_host_waits_for_nothing(no_sync):
    torch.cuda.set_sync_debug_mode("default")
    function, plan = small_unet(), traced(samplers.heun)
    draw = pydiffcore.capture(conditioned(function), plan, SHAPE, device="cuda")
    draw(SEEDS)
    shift = torch.linspace(2, 3, len(SEEDS))
    torch.cuda.set_sync_debug_mode("error")
    x = draw(SEEDS, condition={"shift": shift}, check=False)
    torch.cuda.set_sync_debug_mode("default")
    model = pydiffcore.Denoiser(function, prediction.edm(), {"shift": shift.cuda()})
    eager = pydiffcore.sample(model, plan, shape=SHAPE, seeds=SEEDS, device="cuda")
    assert torch.equal(x, eager)
    assert draw.graphs == 1


def test_a_replay_takes_memory_for_its_result_alone():
    draw = pydiffcore.capture(
        conditioned(small_unet()), traced(samplers.ancestral), SHAPE, device="cuda"
    )
    draw(SEEDS)
    shift = torch.ones(len(SEEDS), device="cuda")
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    x = draw([seed + 1 for seed in SEEDS], condition={"shift": shift}, check=False)
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before + 1
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
