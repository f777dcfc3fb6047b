# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import Denoiser, Guidance, levels, prediction, samplers

PLAN = pydiffcore.trace(samplers.heun, levels.karras(4))


def zero(x, sigma):
    return torch.zeros_like(x)


def test_a_step_is_yielded_after_every_call_and_at_the_end(mixture):
    steps = [
        (step.call, step.sigma, step.x.clone(), step.denoised.clone())
        for step in pydiffcore.trajectory(mixture, PLAN, shape=(3,), seeds=range(2))
    ]
    assert [s[0] for s in steps] == list(range(PLAN.nfe + 1))
    assert [s[1] for s in steps] == [*PLAN.sigma, 0.0]
    for call, sigma, x, D in steps[:-1]:
        assert torch.allclose(D, mixture(x, sigma), atol=1e-5), call
    out = pydiffcore.sample(mixture, PLAN, shape=(3,), seeds=range(2))
    assert torch.equal(steps[-1][2], out)


def test_denoised_of_a_raw_network_is_clipped_and_scaled():
    vp = pydiffcore.process.vp()
    kind = prediction.eps(vp)
    plan = pydiffcore.trace(samplers.ddim, levels.karras(3), kind, clip=(-0.5, 0.5), scaling=vp)
    model = Denoiser(lambda x, c: 0.5 * x, kind)
    for step in pydiffcore.trajectory(model, plan, shape=(64,), seeds=[0]):
        assert step.denoised.abs().max() <= 0.5


def test_c_noise_and_condition_reach_the_network():
    seen = []

    def network(x, c_noise, *, label, flag):
        seen.append((c_noise.clone(), label.clone(), flag))
        return 0 * x

    kind = prediction.edm()
    plan = pydiffcore.trace(samplers.euler, levels.karras(3), kind)
    model = Denoiser(network, kind, {"label": torch.arange(5), "flag": "on"})
    pydiffcore.sample(model, plan, shape=(2,), seeds=range(5), batch=2)
    assert [s[1].tolist() for s in seen[::3]] == [[0, 1], [2, 3], [4]]
    assert {s[2] for s in seen} == {"on"}
    assert torch.allclose(seen[1][0].double(), torch.full((2,), plan.c_noise[1]).double())


def test_guidance_weights_are_cut_with_the_batch():
    weight = torch.tensor([1.0, 2.0, 3.0])
    model = Denoiser(
        lambda x, c, b=0.0: torch.tanh(x) + b,
        prediction.edm(),
        {"b": 0.2},
        Guidance(weight, {"b": 0.0}),
    )
    plan = pydiffcore.trace(samplers.euler, levels.karras(3), prediction.edm())
    whole = pydiffcore.sample(model, plan, shape=(2,), seeds=range(3))
    apart = pydiffcore.sample(model, plan, shape=(2,), seeds=range(3), batch=1)
    assert torch.equal(whole, apart)


def test_no_unconditional_call_outside_the_interval():
    calls = []

    def network(x, sigma, cond):
        calls.append(cond)
        return 0 * x

    guidance = Guidance(2.0, {"cond": 0}, interval=(1.0, 10.0))
    plan = pydiffcore.trace(samplers.euler, levels.explicit([80.0, 5.0, 0.5, 0.0]))
    model = Denoiser(network, condition={"cond": 1}, guidance=guidance)
    pydiffcore.sample(model, plan, shape=(2,), seeds=[0])
    assert calls == [1, 0, 1, 1]


def test_progress_is_reported():
    seen = []
    pydiffcore.sample(
        zero, PLAN, shape=(2,), seeds=range(3), batch=2, progress=lambda d, n: seen.append((d, n))
    )
    assert seen[-1] == (14, 14)
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)


def test_progress_bar(capsys):
    pydiffcore.sample(zero, PLAN, shape=(2,), seeds=range(3), progress=True)
    assert "7/7" in capsys.readouterr().err


def test_float64_and_one_sample_and_scalars():
    out = pydiffcore.sample(zero, PLAN, shape=(), seeds=[3], dtype=torch.float64)
    assert (out.shape, out.dtype) == ((1,), torch.float64)


@pytest.mark.parametrize(
    ("kw", "error", "says"),
    [
        ({"batch": 0}, ValueError, "batch is 0"),
        ({"x": torch.zeros(2, 2)}, ValueError, r"x has shape \(2, 2\), expected 3 samples"),
        ({"x": torch.zeros(3, 5)}, ValueError, r"x has shape \(3, 5\), expected \(3, 2\)"),
        ({"noise": torch.zeros(4)}, ValueError, r"noise has shape \(4,\)"),
        ({"seeds": [1, 2, -3]}, ValueError, "seeds"),
        ({"dtype": torch.int32}, TypeError, "dtype is"),
        ({"plan": "heun"}, TypeError, "plan is str"),
        ({"denoiser": 3}, TypeError, "network is int"),
        ({"denoiser": lambda x, s: None}, TypeError, "the network's output, is NoneType"),
        (
            {"denoiser": lambda x, s: x[:1]},
            ValueError,
            "output, has shape",
        ),
        (
            {"denoiser": lambda x, s: x.double()},
            TypeError,
            "expected the io_dtype",
        ),
        ({"denoiser": lambda x, s: x * np.nan}, FloatingPointError, "at call 0"),
    ],
)
def test_a_wrong_argument_is_named(kw, error, says):
    kw = {"denoiser": zero, "plan": PLAN, "shape": (2,), "seeds": range(3), **kw}
    with pytest.raises(error, match=says):
        pydiffcore.sample(**kw)


def test_a_plan_of_another_prediction_is_refused():
    with pytest.raises(ValueError, match=r"traced for the prediction denoised.*edm"):
        pydiffcore.sample(Denoiser(zero, prediction.edm()), PLAN, shape=(2,), seeds=[0])


@pytest.mark.parametrize(
    ("kw", "says"),
    [
        ({"weight": float("nan")}, "weight is nan"),
        ({"weight": 1.0, "interval": (2.0, 1.0)}, "interval is"),
    ],
)
def test_wrong_guidance_is_named(kw, says):
    with pytest.raises(ValueError, match=says):
        Guidance(**kw)


def test_weights_must_match_the_samples():
    model = Denoiser(zero, guidance=Guidance(torch.ones(2)))
    with pytest.raises(ValueError, match="weight has 2 entries, expected 3"):
        pydiffcore.sample(model, PLAN, shape=(2,), seeds=range(3))
