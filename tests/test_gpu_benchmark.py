# SPDX-License-Identifier: Apache-2.0
"""The GPU benchmark on a CPU: its loops do the same work, and its script runs to its end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import contenders, hand, jax_loop, networks, published, scheduled, task
from benchmarks.gpu.clock import Clock, interleaved, quartiles
from benchmarks.gpu.ours import Captured, Eager
from benchmarks.gpu.scale import TINY, Deadline

CPU = torch.device("cpu")
FACTS = [
    "device", "compute_capability", "driver", "torch", "cuda", "pydiffcore", "diffusers", "jax",
    "date",
]  # fmt: skip


def given(method, steps=5, io=torch.float32, policy="policy"):
    """A task in float32, where rounding hides nothing."""
    if method in ("ddpm", "ddim", "flow"):
        network = task.policy_network(policy, CPU, TINY, io)
        return task.policy_task(policy, network, method, steps, CPU, TINY, io)
    case = next(each for each in task.SMALL if each.method == method)
    network = networks.ready(case.make, CPU, io)
    return task.Task(case.name, network, method, steps, 2, case.shape, CPU, TINY, io=io)


METHODS = [("heun", ""), ("dpmpp_2m", "")]
METHODS += [(method, name) for method in ("ddpm", "ddim", "flow") for name in task.POLICIES]


@torch.no_grad()
@pytest.mark.parametrize(("method", "policy"), METHODS)
def test_every_loop_does_the_same_work(method, policy):
    """All contenders, given the same initial state and noise, end in the same sample."""
    one = given(method, policy=policy)
    x, noise = one.noise(), torch.randn(one.plan.draws, *one.size)
    expected = Eager(one)(x, one.condition, noise=noise if len(noise) else None)

    def draw():
        rest = iter(noise)
        return lambda like: next(rest, torch.zeros_like(like))

    results = {
        "published": published.LOOPS[method](one, x, one.condition, draw()),
        "by hand": hand.Loop(one)(x, one.condition, draw()),
    }
    if method in ("ddim", "dpmpp_2m", "flow"):
        pytest.importorskip("diffusers")
        results["diffusers"] = scheduled.Scheduled(one)(x, one.condition)
    for who, result in results.items():
        assert contenders.difference(result, expected) < 1e-4, who


@torch.no_grad()
@pytest.mark.parametrize(("method", "policy"), METHODS)
def test_jax_does_the_same_work(method, policy):
    """Without the noise of its steps, which is JAX's own."""
    pytest.importorskip("jax", reason="JAX is not installed")
    one = given(method, policy=policy)
    if method == "heun":
        with pytest.raises(RuntimeError, match="no JAX form"):
            jax_loop.Loop(one)
        return
    loop, x = jax_loop.Loop(one), one.noise()
    expected = hand.Loop(one)(x, one.condition, torch.zeros_like)
    again = [loop(None, one.condition) for _ in range(2)]
    assert contenders.difference(*again) > 0.1
    if method == "ddpm":
        noisy = loop(x, one.condition)
        assert contenders.difference(noisy, expected) > 0.1
        loop.table = loop.table.at[:, 4].set(0.0)
    assert contenders.difference(loop(x, one.condition), expected) < 1e-4


@torch.no_grad()
def test_captured_draws_what_sample_draws():
    one = given("ddpm")
    seeds = range(3, 4)
    expected = Eager(one)(None, one.condition, seeds=seeds)
    assert torch.equal(Captured(one)(None, one.condition, seeds=seeds), expected)


def test_a_wrong_loop_is_found_out(monkeypatch):
    """Half of a slope more, and the comparison says that the results differ."""
    correct = hand.correct

    def wrong(x, kept, F, z, c):
        return correct(x, kept, F, z, (*c[:3], 1.5 * c[3], *c[4:]))

    monkeypatch.setattr(hand, "correct", wrong)
    bench = contenders.build(given("heun", io=torch.bfloat16), Deadline(5.0), compiled=False)
    agrees = {each.name: each.agrees for each in bench.contenders}
    assert agrees["published"]
    assert not agrees["without syncs"]


def test_the_networks_have_the_sizes_that_they_say():
    with torch.device("meta"):
        sizes = {each.name: networks.parameters(each.make()) for each in task.CASES}
        policies = {name: networks.parameters(make()) for name, (make, _) in task.POLICIES.items()}
    assert 54e6 < sizes["EDM U-Net"] < 59e6
    assert 30e6 < sizes["DiT-S/2"] < 36e6
    assert 600e6 < sizes["DiT-XL/2"] < 700e6
    assert 30e6 < policies["policy"] < 34e6
    assert 6e6 < policies["transformer policy"] < 7e6


@torch.no_grad()
@pytest.mark.parametrize("name", task.POLICIES)
def test_a_policy_reads_actions_time_and_observation(name):
    network = task.policy_network(name, CPU, TINY, torch.float32)
    x, t, observation = torch.randn(2, 16, 7), torch.full((2,), 3.0), torch.randn(2, 64)
    F = network(x, t, observation)
    assert F.shape == x.shape
    for other in ((2 * x, t, observation), (x, 2 * t, observation), (x, t, 2 * observation)):
        assert contenders.difference(network(*other), F) > 1e-3
    torch.testing.assert_close(network(x[:1], t[:1], observation[:1]), F[:1])


def test_rounds_are_interleaved_and_begin_in_turn():
    seen = []
    work = {name: lambda name=name: seen.append(name) for name in "abc"}
    taken = interleaved(work, Clock(CPU), rounds=3, seconds=60.0)
    assert "".join(seen) == "cab" + "abc" + "bca" + "cab"
    assert [len(times) for times in taken.values()] == [3, 3, 3]
    assert quartiles([1.0, 2.0, 3.0]) == {
        "lower_quartile": 1.5, "median": 2.0, "upper_quartile": 2.5
    }  # fmt: skip


def test_a_cpu_takes_tiny_sizes_only():
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 1
    assert "--tiny" in done.stderr


@pytest.mark.slow
def test_the_script_runs_to_its_end_on_a_cpu(tmp_path):
    path = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--tiny"]
    done = subprocess.run(
        [*command, "--json", str(path)], capture_output=True, text=True,
        cwd=Path(__file__).parents[1], env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text("utf-8"))
    assert found["format"] == "pydiffcore gpu 2"
    assert not found["errors"]
    assert set(FACTS) <= set(found["facts"])
    assert all(each["holds"] and each["compared"] for each in found["bits"])
    assert found["count"]["skipped"] == "no kernels on a CPU"
    rows = [each for each in found["rows"] if each["kind"] != "large copy"]
    assert len(rows) == len(TINY.elements) * (len(TINY.dtypes) * (7 + 4) + 2 * 7)
    assert all(each["share_of_copy"]["median"] > 0 for each in rows)
    for part, least in (("policies", 6), ("end_to_end", 4)):
        assert len(found[part]) == least
        for each in found[part]:
            assert_contenders(each)
    assert all(
        {"p50_seconds", "p99_seconds", "jitter_seconds", "first_seconds"} <= set(one)
        for each in found["policies"]
        for one in each["contenders"]
    )
    assert [each["cold_start"]["seconds"] > 0 for each in found["policies"][:2]] == [True, True]


def assert_contenders(each):
    """Nobody is silently missing, and nobody's result differs."""
    names = [one["name"] for one in each["contenders"]]
    assert names[0] == "pydiffcore.sample"
    assert {"published", "without syncs", "compiled step", "pydiffcore captured"} <= set(names)
    skipped = each["skipped_contenders"]
    assert "jax" in names or "JAX" in skipped["jax"] or skipped["jax"] == contenders.OTHER_BATCH
    assert skipped["one graph, compiled"].endswith(("no CUDA graphs", "at another batch"))
    for one in each["contenders"]:
        assert one["agrees"] is not False
        assert (one["agrees"] is None) == (each["stochastic"] and "pydiffcore" not in one["name"])
        assert one["wall_seconds"]["median"] > 0
    assert each["verdict"]["outcome"] in ("win", "loss", "even")
