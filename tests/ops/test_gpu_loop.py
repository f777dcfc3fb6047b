# SPDX-License-Identifier: Apache-2.0
"""The loop on a CUDA device: no waiting, no allocation, any stream; errors that say where."""

import cuda_battery
import numpy as np
import pytest
import torch
from cuda_battery import same
from gpu_cases import MARKS, SEEDS, SHAPE, network, traced

import pydiffcore
from pydiffcore import prediction, samplers
from pydiffcore.ops import native
from pydiffcore.ops.noise import normal
from pydiffcore.ops.runner import Runner

pytestmark = MARKS


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
