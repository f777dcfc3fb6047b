# SPDX-License-Identifier: Apache-2.0
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

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


@pytest.mark.parametrize(
    ("given", "cut"),
    [
        (np.arange(5), [[0, 1], [2, 3], [4]]),
        ([4, 3, 2, 1, 0], [[4, 3], [2, 1], [0]]),
        (
            {"ids": [4, 3, 2, 1, 0], "size": (64, 48)},
            [{"ids": ids, "size": (64, 48)} for ids in ([4, 3], [2, 1], [0])],
        ),
        (tuple("abcde"), [list("abcde")] * 3),
        (np.float64(7.0), [7.0] * 3),
        ([1, 2, 3], [[1, 2, 3]] * 3),
        ("words", ["words"] * 3),
        (torch.Size([1] * 5), [[1] * 5] * 3),
    ],
)
def test_what_has_an_entry_per_sample_is_cut_whatever_it_is(given, cut):
    seen = {"label": [], "free": []}

    def network(x, c_noise, *, label=None, free=None):
        value = free if label is None else label
        seen["free" if label is None else "label"].append(
            value.tolist() if hasattr(value, "tolist") else value
            if isinstance(value, str | dict) else list(value)
        )  # fmt: skip
        return 0 * x

    kind = prediction.edm()
    guidance = Guidance([2.0, 3.0, 4.0, 5.0, 6.0], {"label": None, "free": given})
    plan = pydiffcore.trace(samplers.euler, levels.karras(1), kind)
    model = Denoiser(network, kind, {"label": given}, guidance)
    pydiffcore.sample(model, plan, shape=(2,), seeds=range(5), batch=2)
    assert seen == {"label": cut, "free": cut}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_c_noise_lies_where_a_compiled_network_need_not_copy_it(dtype):
    """It is compiled for the alignment of the first, and copies what has none of 16 bytes."""
    seen = []

    def network(x, c_noise):
        seen.append((c_noise.dtype, c_noise.data_ptr() % 16, c_noise.stride(), float(c_noise[0])))
        return x

    plan = pydiffcore.trace(samplers.euler, levels.karras(5), prediction.edm())
    model = Denoiser(network, prediction.edm())
    pydiffcore.sample(model, plan, shape=(3,), seeds=[1, 2], io_dtype=dtype)
    expected = torch.tensor(plan.c_noise.tolist(), dtype=dtype).tolist()
    assert seen == [(dtype, 0, (0,), value) for value in expected]


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
        ({"shape": 3}, TypeError, r"shape is 3, expected the sizes of one sample, such as \(3, 32"),
        ({"shape": (2.0,)}, TypeError, "shape is .2.0,., expected the sizes"),
        ({"shape": (-2,)}, ValueError, "shape is .-2,., expected sizes of at least 0"),
        ({"x": torch.zeros(2, 2)}, ValueError, r"x has shape \(2, 2\), expected 3 samples"),
        ({"x": torch.zeros(3, 5)}, ValueError, r"x has shape \(3, 5\), expected \(3, 2\)"),
        ({"noise": torch.zeros(4)}, ValueError, r"noise has shape \(4,\)"),
        ({"seeds": [1, 2, -3]}, ValueError, "seeds"),
        ({"dtype": torch.int32}, TypeError, "dtype is"),
        ({"plan": "heun"}, TypeError, "plan is str"),
        ({"denoiser": 3}, TypeError, "network is int"),
        ({"denoiser": lambda x, s: None}, TypeError, r"output, is NoneType, expected a \S+$"),
        (
            {"denoiser": lambda x, s: SimpleNamespace(sample=x)},
            TypeError,
            "is SimpleNamespace, expected a torch.Tensor: return its .sample",
        ),
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


@pytest.mark.parametrize("run", [pydiffcore.direct, pydiffcore.optimal_levels, pydiffcore.capture])
def test_a_shape_that_is_a_number_is_named(run):
    given = {
        pydiffcore.direct: (samplers.euler, zero, levels.karras(3)),
        pydiffcore.optimal_levels: (zero, 3, samplers.euler),
        pydiffcore.capture: (zero, PLAN),
    }[run]
    seeds = {} if run is pydiffcore.capture else {"seeds": range(3)}
    with pytest.raises(TypeError, match="shape is 3, expected the sizes of one sample"):
        run(*given, shape=3, **seeds)


def test_a_plan_of_another_prediction_is_refused():
    with pytest.raises(ValueError, match=r"traced for the prediction denoised.*edm"):
        pydiffcore.sample(Denoiser(zero, prediction.edm()), PLAN, shape=(2,), seeds=[0])


@pytest.mark.parametrize(
    ("kw", "says"),
    [
        ({"weight": float("nan")}, "weight is nan"),
        ({"weight": 1.0, "interval": (2.0, 1.0)}, "interval is"),
        ({"weight": 3.0}, "unconditional is empty and network is None"),
    ],
)
def test_wrong_guidance_is_named(kw, says):
    with pytest.raises(ValueError, match=says):
        Guidance(**kw)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Denoiser(zero, guidance=3.0), "guidance is 3.0, expected a pydiffcore.Guidance"),
        (lambda: Denoiser(zero, condition=torch.zeros(2)), "condition is Tensor, expected a dict"),
        (lambda: Guidance(2.0, [None]), "unconditional is list, expected a dict"),
        (lambda: Guidance(2.0, network="other"), "network is str, expected a callable"),
        (
            lambda: pydiffcore.trace("euler", levels.karras(3)),
            "sampler is 'euler', expected a function such as pydiffcore.samplers.euler",
        ),
    ],
)
def test_a_wrong_type_is_named_where_it_is_given(make, says):
    with pytest.raises(TypeError, match=says):
        make()


def test_what_has_an_entry_per_sample_of_a_batch_is_refused():
    plan = pydiffcore.trace(samplers.euler, levels.karras(2), prediction.edm())

    def network(x, c, y=None):
        return 0 * x

    label = Denoiser(network, prediction.edm(), {"y": torch.arange(4)})
    with pytest.raises(ValueError, match="condition 'y' has 4 entries, as a batch has, expected 8"):
        pydiffcore.sample(label, plan, shape=(2,), seeds=range(8), batch=4)
    for labels in (np.arange(4), [0, 1, 2, 3]):
        with pytest.raises(ValueError, match="condition 'y' has 4 entries, as a batch has"):
            pydiffcore.sample(
                Denoiser(network, prediction.edm(), {"y": labels}),
                plan, shape=(2,), seeds=range(8), batch=4,
            )  # fmt: skip
    weight = Denoiser(network, prediction.edm(), {}, Guidance(torch.ones(4), {"y": None}))
    with pytest.raises(ValueError, match="weight has 4 entries, expected 8"):
        pydiffcore.sample(weight, plan, shape=(2,), seeds=range(8), batch=4)


def test_the_denoised_step_is_guided():
    """The last Euler step, to sigma = 0, returns D itself."""
    model = Denoiser(
        lambda x, c, y=0.0: torch.tanh(x) + y,
        prediction.edm(),
        {"y": 1.0},
        Guidance(torch.tensor([3.0, 0.5]), {"y": 0.0}),
    )
    plan = pydiffcore.trace(samplers.euler, levels.karras(3), prediction.edm())
    steps = pydiffcore.trajectory(model, plan, shape=(4,), seeds=range(2))
    denoised = [step.denoised for step in steps]
    assert torch.allclose(denoised[-2], denoised[-1], atol=1e-6)


class Clones(TorchDispatchMode):
    """Counts the copies that take memory."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten.clone.default
        return func(*args, **(kwargs or {}))


def guided(sigmas):
    """A guided run's network answers into one tensor, as a captured or compiled one may."""
    buffer = torch.empty(2, 3)

    def network(x, c_noise, cond=0.0):
        return buffer.copy_(torch.tanh(x) + cond)

    model = Denoiser(network, prediction.edm(), {"cond": 1.0}, Guidance(3.0, {"cond": 0.0}))
    return model, pydiffcore.trace(samplers.euler, sigmas, prediction.edm())


def test_a_guided_run_takes_memory_once():
    model, plan = guided(levels.karras(7))
    with Clones() as clones:
        out = pydiffcore.sample(model, plan, shape=(3,), seeds=[1, 2])
    assert clones.count == 2  # of the first unconditional output, and of the result
    steps = list(pydiffcore.trajectory(model, plan, shape=(3,), seeds=[1, 2]))
    assert torch.equal(steps[-1].x, out)
    assert len({step.F_uncond.data_ptr() for step in steps[:-1]}) == 7  # the caller's own


def test_a_guided_network_that_changes_its_input_is_told():
    def network(x, c, y=0.0):
        return x.mul_(0.5) + y

    model = Denoiser(network, prediction.edm(), {"y": 1.0}, Guidance(3.0, {"y": 0.0}))
    plan = pydiffcore.trace(samplers.euler, levels.karras(3), prediction.edm())
    with pytest.raises(RuntimeError, match="changed its input in place"):
        pydiffcore.sample(model, plan, shape=(4,), seeds=range(2))


def test_a_module_with_parameters_stays_on_the_fused_path():
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.mix = torch.nn.Linear(1, 6), torch.nn.Linear(6, 6)

        def forward(self, x, c_noise):
            return self.mix(x + self.embed(c_noise[:, None]))

    network = Network()
    for io_dtype in (torch.float32, torch.float64):
        model = Denoiser(network.to(io_dtype), prediction.edm())
        plan = pydiffcore.trace(samplers.euler, levels.karras(3), prediction.edm())
        kw = {"shape": (6,), "seeds": range(2), "dtype": torch.float64, "io_dtype": io_dtype}
        for step in pydiffcore.trajectory(model, plan, **kw):
            assert not step.x.requires_grad
            assert step.F is None or not step.F.requires_grad


def test_a_diverging_plan_is_not_returned():
    def runaway(x, denoise, levels, noise):
        for sigma, _ in levels.steps():
            x = x + 1e20 * (denoise(x, sigma) - x)
        return x

    plan = pydiffcore.trace(runaway, levels.explicit([4.0, 3.0, 2.0, 1.0]))
    with pytest.raises(FloatingPointError, match="the result is not finite"):
        pydiffcore.sample(zero, plan, shape=(2,), seeds=[0])


def test_weights_must_match_the_samples():
    model = Denoiser(zero, guidance=Guidance(torch.ones(2), network=zero))
    with pytest.raises(ValueError, match="weight has 2 entries, expected 3"):
        pydiffcore.sample(model, PLAN, shape=(2,), seeds=range(3))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")
@pytest.mark.parametrize("layer", [torch.nn.Linear(8, 8), torch.nn.Conv1d(8, 8, 1)])
@pytest.mark.parametrize(
    ("weights", "kw", "given"),
    [
        (torch.bfloat16, {}, "torch.float32 and c_noise torch.float32"),
        (torch.float32, {"dtype": torch.float64}, "torch.float64 and c_noise torch.float64"),
    ],
)
def test_a_network_of_another_dtype_is_told_of_io_dtype(layer, weights, kw, given):
    layer = layer.to(weights)
    with pytest.raises(RuntimeError) as raised:
        pydiffcore.sample(lambda x, s: layer(x), PLAN, shape=(8, 8), seeds=range(2), **kw)
    (note,) = raised.value.__notes__
    assert f"input is {given}: pass io_dtype=" in note
    fits = {**kw, "io_dtype": weights}
    pydiffcore.sample(lambda x, s: layer(x), PLAN, shape=(8, 8), seeds=range(2), **fits)


def test_another_error_of_the_network_is_left_as_it_is():
    layer = torch.nn.Linear(7, 7)
    with pytest.raises(RuntimeError) as raised:
        pydiffcore.sample(lambda x, s: layer(x), PLAN, shape=(8,), seeds=range(2))
    assert not hasattr(raised.value, "__notes__")
