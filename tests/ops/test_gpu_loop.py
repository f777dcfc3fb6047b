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
from pydiffcore.sample import calls, labels_of

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


def test_a_guided_loop_takes_memory_for_one_output():
    F = torch.zeros(len(SEEDS), *SHAPE, device="cuda")
    guidance = pydiffcore.Guidance(2.0, {"label": 0})
    model = pydiffcore.Denoiser(lambda x, c, label: F, prediction.edm(), {"label": 1}, guidance)
    plan = traced(samplers.euler)
    weights = guidance.weights(plan.sigma, len(SEEDS))
    runner = Runner(plan, SHAPE, SEEDS, guidance=weights, device="cuda", backend="native")
    state, labels = runner.start(), labels_of(runner)
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    steps = sum(1 for _ in calls(model, runner, state, labels))
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before + 1
    assert steps == plan.nfe


def test_binding_waits_for_nothing(no_sync):
    runner = Runner(traced(samplers.ancestral), SHAPE, SEEDS, device="cuda", backend="native")
    state, labels = runner.start(), labels_of(runner)
    torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(state).all()
    assert labels.tolist() == torch.tensor(runner.plan.c_noise.tolist()).tolist()


def test_noise_of_a_function_has_the_bits_of_the_cpu():
    model = pydiffcore.Denoiser(network, prediction.edm())
    samples = []
    for device in ("cpu", "cuda"):
        unit = torch.linspace(-2, 2, len(SEEDS)).view(-1, 1, 1, 1).expand(-1, *SHAPE).to(device)
        options = {"shape": SHAPE, "seeds": SEEDS, "device": device}
        x = pydiffcore.sample(
            model, traced(samplers.ancestral), noise=lambda high, low, unit=unit: unit, **options
        )
        samples.append(x.cpu())
    assert torch.equal(*samples)


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
