# SPDX-License-Identifier: Apache-2.0
"""``pydiffcore bench`` runs every way of doing the work and compares what it returns."""

import json

import pytest
import torch

from pydiffcore import levels, prediction, samplers, trace
from pydiffcore.cli.bench import line, warnings_of
from pydiffcore.cli.timing import OURS, Subject, compare, quartiles, timed

TINY = ("--steps", "4", "--batch", "2", "--seconds", "0")


def test_built_in(run, tmp_path):
    path = tmp_path / "bench.json"
    code, out, err = run(
        "bench", "--built-in", "stub,mlp", "--samplers", "ancestral,dpmpp-2m", *TINY, "--json", path
    )
    assert (code, err) == (0, "")
    assert "it costs nothing, ratios are an upper bound" in out
    document = json.loads(path.read_text())
    assert document["format"] == "pydiffcore bench 1"
    assert set(document) >= {"device", "device_name", "machine", "peers", "steps", "rows"}
    assert "diffusers" in document["peers"]
    found = {(row["network"], row["sampler"], row["who"]) for row in document["rows"]}
    for network in ("stub", "mlp"):
        assert (network, "ancestral", "diffusers EulerAncestralDiscrete") in found
        assert (network, "dpmpp_2m", "diffusers DPMSolverMultistep") in found
        assert (network, "dpmpp_2m", "eager, in place") in found
        assert (network, "dpmpp_2m", OURS) in found
    for row in document["rows"]:
        assert row["equal"] or (row["equal"] is None and row["who"] == OURS), row
        assert row["nfe"] == 4
        assert row["upper_bound"] is (row["network"] == "stub")
        assert row["repeats"] >= 1
        assert row["shape"] == [2, 16, 7]
        for key in ("seconds", "outside_network", "times_pydiffcore"):
            figures = row[key]
            assert figures["lower_quartile"] <= figures["median"] <= figures["upper_quartile"]
        assert 0 <= row["outside_network"]["median"] <= 1
        assert row["who"] != OURS or row["times_pydiffcore"]["median"] == 1


def test_built_in_unet(run):
    code, out, _ = run("bench", "--built-in", "unet", "--samplers", "euler", *TINY)
    assert code == 0
    assert "network unet, 2×1×8×8" in out
    assert out.count(" equal") >= 3
    assert "differs" not in out


@pytest.mark.parametrize(
    ("choice", "peer"),
    [
        (("--prediction", "v"), "diffusers EulerDiscrete"),
        (("--prediction", "edm"), "diffusers EDMEuler"),
        (("--prediction", "eps", "--process", "vp"), None),
        ((), None),
    ],
)
def test_own_network(run, place, choice, peer):
    """diffusers takes part where it has a word for the prediction."""
    code, out, _ = run(
        "bench", "--network", "mine:network", "--shape", "1,8,8", "--samplers", "euler", *TINY,
        *choice,
    )  # fmt: skip
    assert code == 0
    assert "differs" not in out
    assert "eager, plain" in out
    assert ("diffusers E" in out) == (peer is not None)
    assert peer is None or peer in out


def test_checkpoint(run, checkpoint):
    code, out, _ = run("bench", checkpoint, "--samplers", "dpmpp-2m-sde,heun", *TINY)
    assert code == 0
    assert "diffusers EDMDPMSolverMultistep" in out
    assert "differs" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--built-in", "resnet"], "--built-in holds 'resnet'"),
        (["--samplers", "euler,foo"], "--samplers is 'foo'"),
        (["--samplers", "euler-maruyama"], "process"),
        (["--steps", "1"], "--steps 1"),
        (["--batch", "0"], "--batch 0"),
        (["--threads", "0"], "--threads is 0"),
        (["--seconds", "nan"], "--seconds nan"),
        (["--shape", "16,7", "--built-in", "unet"], "needs channels,height,width"),
        (["--prediction", "eps"], "are for your own network"),
        (["--network", "mine:D"], "--shape is missing"),
    ],
)
def test_bad_input(refused, place, arguments, words):
    assert words in refused("bench", *TINY, *arguments)


def test_a_wrong_peer_is_said_to_differ():
    subject = Subject("half", lambda x, c_noise: 0.5 * x, prediction.denoised(), (3,))
    plan = trace(samplers.euler, levels.karras(3))
    wrong = {"wrong": lambda network, x, generator: 1.01 * network(x, x[:, 0])}
    timings = compare(subject, plan, wrong, batch=2, device=torch.device("cpu"), seconds=0)
    assert [timing.who for timing in timings] == [OURS, "wrong"]
    assert [timing.equal for timing in timings] == [True, False]
    assert timings[1].figures()["equal"] is False
    (_, other) = compare(
        subject, plan, wrong, batch=2, device=torch.device("cpu"), seconds=0, own_noise=["wrong"]
    )
    assert other.equal is None
    assert "own noise" in line("euler", 3, other)


def test_time_inside_the_network_is_counted():
    calls = []

    def network(x, c_noise):
        calls.append(x)
        return x

    result, seconds, inside = timed(lambda net, x, generator: net(net(x, x), x), network,
                                    torch.ones(3))  # fmt: skip
    assert torch.equal(result, torch.ones(3))
    assert len(calls) == 2
    assert 0 < inside < seconds


def test_warnings():
    quiet, busy = ({"load_before": load, "processors": 2} for load in (0.3, 3.0))
    assert list(warnings_of(quiet, [{"repeats": 3}])) == []
    assert "load 3.0 on 2 processors" in next(warnings_of(busy, []))
    assert "fewer than three rounds" in next(warnings_of(quiet, [{"repeats": 2}]))
    assert list(warnings_of({"load_before": None, "processors": 2}, [])) == []


def test_quartiles():
    assert quartiles((4.0, 1.0, 2.0, 3.0, 5.0)) == {
        "median": 3.0,
        "lower_quartile": 2.0,
        "upper_quartile": 4.0,
    }
