# SPDX-License-Identifier: Apache-2.0
"""The nodes, on a stand-in for the parts of ComfyUI that they touch."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import levels
from pydiffcore.adapters import comfyui, k_diffusion
from pydiffcore.adapters.k_diffusion.method import first_stream
from pydiffcore.adapters.nodes import inputs
from pydiffcore.adapters.nodes.samplers import FLOWS, FUNCTIONS, NOISY, PLANS

SIGMAS = k_diffusion.get_sigmas_karras(6, 0.03, 14.6)


class KSAMPLER:
    """Calls a sampler function with what a workflow has."""

    def __init__(self, sampler_function, extra_options=None, inpaint_options=None):
        self.sampler_function, self.extra_options = sampler_function, extra_options or {}

    def sample(self, model, x, sigmas, seed, callback=None):
        extra = {"model_options": {}, "seed": seed, "denoise_mask": None}
        return self.sampler_function(
            model, x, sigmas, extra_args=extra, callback=callback, disable=True,
            **self.extra_options,
        )  # fmt: skip


NOISY_FLOWS = [n for n in FLOWS if {"eta", "tau"} & {*comfyui.INPUTS[n]} or n in NOISY]


class CONST:
    """Flow models' sampling, by its name."""


@pytest.fixture
def _comfy(monkeypatch):
    samplers = ModuleType("comfy.samplers")
    samplers.KSAMPLER = KSAMPLER
    monkeypatch.setitem(sys.modules, "comfy", ModuleType("comfy"))
    monkeypatch.setitem(sys.modules, "comfy.samplers", samplers)


class Model:
    """A wrapped model, called as the sampler calls it."""

    def __init__(self, sampling):
        self.inner_model = SimpleNamespace(inner_model=SimpleNamespace(model_sampling=sampling))

    def __call__(self, x, sigma, *, model_options, seed, denoise_mask):
        assert seed in (7, 8)
        return torch.tanh(x) / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)


def defaults(node):
    return inputs.defaults(node.INPUT_TYPES()["required"])


def sampler_of(name, **options):
    node = comfyui.NODE_CLASS_MAPPINGS[f"PydiffcoreSampler_{name}"]
    assert node.RETURN_TYPES == ("SAMPLER",)
    (sampler,) = getattr(node(), node.FUNCTION)(**{**defaults(node), **options})
    return sampler


EXTRA = {"model_options": {}, "seed": 7, "denoise_mask": None}


def start(n=2):
    return 14.6 * torch.randn(n, 4, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.usefixtures("_comfy")
@pytest.mark.parametrize("name", comfyui.INPUTS)
def test_a_node_samples(name):
    events, model = [], Model(object())
    x = start()
    found = sampler_of(name).sample(model, x, SIGMAS, 7, events.append)
    assert {"i", "denoised", "x"} <= set(events[0])
    steps = 3 if name == "dpm_fast" else 6
    assert [event["i"] for event in events] == list(range(steps))
    if name != "dpm_fast":
        assert [float(event["sigma_hat"]) for event in events] == pytest.approx(
            SIGMAS[:-1].tolist()
        )
    alone = sampler_of(name).sample(model, x[:1], SIGMAS, 7)
    assert torch.equal(found[:1], alone)  # the seed decides, and a sample alone is the same
    noisy = "eta" in comfyui.INPUTS[name] or "tau" in comfyui.INPUTS[name] or name in NOISY
    other = comfyui.sampler_function(name)(
        Model(object()), x, SIGMAS, {**EXTRA, "seed": 8}, None, True
    )
    assert torch.equal(other, found) is not noisy


@pytest.mark.parametrize("name", FUNCTIONS)
def test_k_diffusion_s_functions_are_called(name):
    model, x = Model(object()), start()
    noisy = "eta" in comfyui.INPUTS[name]
    ours = getattr(k_diffusion, f"sample_{name}")
    again = ours(model, x, SIGMAS, EXTRA, disable=True, **({"seed": 7} if noisy else {}))
    assert torch.equal(comfyui.sampler_function(name)(model, x, SIGMAS, EXTRA, None, True), again)


@pytest.mark.parametrize("name", PLANS)
def test_plans_are_ours(name):
    model, x = Model(object()), start()
    sampler, _ = PLANS[name]
    options = inputs.defaults(comfyui.INPUTS[name])
    first = first_stream(float(SIGMAS[0]))
    plan = pydiffcore.trace(
        sampler, levels.explicit(SIGMAS.tolist()), first_stream=first, **options
    )
    mine = pydiffcore.sample(lambda x, s: model(x, s, **EXTRA), plan, x=x, seeds=[7, 8])
    found = comfyui.sampler_function(name)(model, x, SIGMAS, EXTRA, None, True)
    assert torch.allclose(found, mine, rtol=1e-6)


@pytest.mark.usefixtures("_comfy")
@pytest.mark.parametrize("name", comfyui.INPUTS)
def test_without_noise_a_flow_is_an_ode_in_its_time(name):
    """At D = 0 the flow's ODE from t = 1 is x_t = t·z, whatever the method."""
    times, x = torch.linspace(1, 0.25, 4), start()
    if name in NOISY:
        return
    off = {each: 0.0 for each in ("eta", "tau") if each in comfyui.INPUTS[name]}
    found = sampler_of(name, **off).sample(flow(lambda x, t: 0 * x), x, times, 7)
    assert torch.allclose(found, 0.25 * x, rtol=1e-5)


def flow(function):
    def model(x, sigma, **_):
        return function(x, sigma.reshape(-1, *(1,) * (x.ndim - 1)))

    model.inner_model = SimpleNamespace(model_sampling=CONST())
    return model


def noisy_options(name):
    return {"eta": 0.7} if "eta" in comfyui.INPUTS[name] else {}


@pytest.mark.usefixtures("_comfy")
@pytest.mark.parametrize("name", NOISY_FLOWS)
@pytest.mark.parametrize("n", [4, 8])
def test_the_law_on_a_flow_whose_data_is_known(name, n):
    """D = μ: at time t the state is (1 − t) μ + t z exactly, at any number of steps."""
    times, x = torch.linspace(1, 0.25, n), torch.randn(4000, 2)
    events = []
    found = sampler_of(name, **noisy_options(name)).sample(
        flow(lambda x, t: 0 * x + 3), x, times, 7, events.append
    )
    assert float(found.mean()) == pytest.approx(0.75 * 3, abs=5 * 0.25 / 8000**0.5)
    assert float(found.std()) == pytest.approx(0.25, rel=5 / 16000**0.5)
    assert abs(float((found * x).mean())) < 0.24  # not the start's own noise, as the ODE has it
    for event, t in zip(events, times, strict=False):
        assert float(event["sigma"]) == float(t)
        assert float(event["sigma_hat"]) == pytest.approx(float(t), rel=1e-6)
        assert float(event["x"].std()) == pytest.approx(float(t), rel=0.05)


@pytest.mark.usefixtures("_comfy")
@pytest.mark.parametrize("name", NOISY_FLOWS)
def test_the_law_on_a_flow_of_gaussian_data(name):
    """Data N(0.8, 0.5²): D = μ + (1 − t)s²/((1 − t)²s² + t²)(x − (1 − t)μ)."""

    def exact(x, t):
        gain = (1 - t) * 0.25 / ((1 - t) ** 2 * 0.25 + t**2)
        return 0.8 + gain * (x - (1 - t) * 0.8)

    torch.manual_seed(0)
    (times,) = comfyui.NODE_CLASS_MAPPINGS["PydiffcoreSigmas_flow_shift"]().get_sigmas(
        300, shift=2.0
    )
    found = sampler_of(name, **noisy_options(name)).sample(
        flow(exact), torch.randn(4000, 2), times, 7
    )
    if name != "lcm":  # which draws D's own law, not the data's
        assert float(found.mean()) == pytest.approx(0.8, abs=0.04)
        assert float(found.std()) == pytest.approx(0.5, rel=0.04)


@pytest.mark.usefixtures("_comfy")
def test_noise_on_a_flow_where_a_step_has_no_limit_is_refused():
    times, x = torch.linspace(1, 0, 4), start()
    for name, option in (("dpm_2_ancestral", "eta"), ("heun", "s_churn"), ("euler", "s_churn")):
        with pytest.raises(
            ValueError, match=f"{name} with {option} above 0 adds noise.*set {option}"
        ):
            sampler_of(name, **{option: 1.0}).sample(flow(lambda x, t: 0 * x), x, times, 7)
    with pytest.raises(ValueError, match=r"sigmas: 14.* is no time of a flow"):
        sampler_of("euler_ancestral").sample(flow(lambda x, t: 0 * x), x, SIGMAS, 7)
    given = comfyui.sampler_function("euler_ancestral")
    with pytest.raises(ValueError, match="noise_sampler is given"):
        given(flow(lambda x, t: 0 * x), x, times, EXTRA, noise_sampler=print)


@pytest.mark.parametrize("name", comfyui.RULES)
def test_sigmas(name):
    node = comfyui.NODE_CLASS_MAPPINGS[f"PydiffcoreSigmas_{name}"]
    rule, _, is_flow = comfyui.RULES[name]
    given = {**defaults(node), "steps": 9}
    (found,) = getattr(node(), node.FUNCTION)(**given)
    assert node.RETURN_TYPES == ("SIGMAS",)
    assert found.dtype is torch.float32
    assert float(found[-1]) == 0
    expected = rule(given.pop("steps"), **given).sigma
    expected = expected / (1 + expected) if is_flow else expected
    assert np.allclose(found.numpy(), expected, rtol=1e-6)
    assert found.ndim == 1
    assert bool((found[:-1] > found[1:]).all())
    if is_flow:
        assert float(found[0]) == 1


def test_names():
    assert set(comfyui.NODE_CLASS_MAPPINGS) == set(comfyui.NODE_DISPLAY_NAME_MAPPINGS)
    with pytest.raises(ValueError, match="name is 'eular'"):
        comfyui.sampler_function("eular")
