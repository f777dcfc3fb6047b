# SPDX-License-Identifier: Apache-2.0
"""Recording graphs on a CUDA device: one that fails, one that is dropped, two at once."""

import pytest
import torch
from gpu_cases import MARKS, SEEDS, SHAPE, network, traced

import pydiffcore
from pydiffcore import prediction, samplers

pytestmark = MARKS


def sampled(function, plan, seeds=SEEDS, device="cuda"):
    model = pydiffcore.Denoiser(function, prediction.edm())
    return pydiffcore.sample(model, plan, shape=SHAPE, seeds=seeds, device=device)


def captured(function, plan, device="cuda", **options):
    model = pydiffcore.Denoiser(function, prediction.edm())
    return pydiffcore.capture(model, plan, SHAPE, device=device, **options)


def test_a_recording_that_fails_leaves_torch_as_it_was():
    plan, recorded = traced(samplers.ancestral), []

    def waits_late(x, c_noise):
        if torch.cuda.is_current_stream_capturing():
            recorded.append(x.shape)
            if len(recorded) == 3:
                x.sum().item()
        return network(x, c_noise)

    before = torch.cuda.current_stream()
    draw = captured(waits_late, plan)
    x = draw(SEEDS)
    assert len(recorded) == 3
    assert draw.kind == "eager"
    assert "cannot be recorded" in draw.reason
    assert torch.cuda.current_stream() == before
    assert torch.isfinite(torch.randn(8, device="cuda")).all()
    torch.cuda.empty_cache()
    expected = sampled(network, plan)
    assert torch.equal(x, expected)
    good = captured(network, plan)
    assert torch.equal(good(SEEDS), expected)
    assert good.kind == "graph"


def test_a_network_may_draw_after_a_recording_that_failed():
    """torch's generator is recorded as well, and must not go on being so."""
    plan, failing = traced(samplers.euler), [True]

    def noisy(x, c_noise):
        if failing and torch.cuda.is_current_stream_capturing():
            failing.clear()
            x.sum().item()
        return network(x, c_noise) + 0.01 * torch.randn_like(x)

    draw = captured(noisy, plan)
    assert torch.isfinite(draw(SEEDS)).all()
    assert draw.kind == "eager"
    again = captured(noisy, plan)
    first, second = again(SEEDS), again(SEEDS)
    assert again.kind == "graph"
    assert not torch.equal(first, second)


def test_a_graph_is_dropped_after_its_last_run():
    plan, side = traced(samplers.ancestral), torch.cuda.Stream()
    draw = captured(network, plan, graphs=1)
    expected = draw(SEEDS)
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(10**8)
        x = draw(SEEDS, check=False)
    other = draw(SEEDS[:3])  # takes the memory of what it drops
    torch.cuda.synchronize()
    assert torch.equal(x, expected)
    assert torch.equal(other, sampled(network, plan, SEEDS[:3]))
    assert draw.graphs == 1


def test_graphs_of_two_streams_share_no_workspace():
    """Products this flat and long are cut along their sum, with partial sums in the workspace."""
    torch.manual_seed(0)
    size = torch.Size(SHAPE).numel()
    layers = [torch.nn.Linear(size, 8192), torch.nn.SiLU(), torch.nn.Linear(8192, size)]
    body = torch.nn.Sequential(*layers).cuda().eval()
    plan, streams = traced(samplers.heun), [torch.cuda.Stream() for _ in range(2)]
    draws = [captured(lambda x, c: body(x.flatten(1)).view_as(x), plan) for _ in range(2)]
    batches = [[seed + k for seed in SEEDS] for k in range(2)]
    expected = [draw(seeds) for draw, seeds in zip(draws, batches, strict=True)]
    assert [draw.kind for draw in draws] == ["graph", "graph"]
    torch.cuda.synchronize()
    for _ in range(20):
        results = []
        for draw, seeds, stream in zip(draws, batches, streams, strict=True):
            with torch.cuda.stream(stream):
                results.append(draw(seeds, check=False))
        torch.cuda.synchronize()
        assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=True))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="this machine has one CUDA device")
def test_every_device_records():
    plan = traced(samplers.ancestral)
    for device in ("cuda:0", "cuda:1", "cuda:0"):
        draw = captured(network, plan, device)
        assert torch.equal(draw(SEEDS), sampled(network, plan, device=device))
        assert (draw.kind, draw.reason) == ("graph", "")
