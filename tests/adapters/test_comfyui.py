# SPDX-License-Identifier: Apache-2.0
"""The nodes, on a stand-in for the parts of ComfyUI that they touch."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from pydiffcore.adapters import comfyui, k_diffusion

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
        assert seed == 7
        return torch.tanh(x) / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)


def defaults(node):
    found = {}
    for name, (kind, *more) in node.INPUT_TYPES()["required"].items():
        found[name] = more[0]["default"] if more else kind[0]
    return found


def sampler_of(name, **options):
    node = comfyui.NODE_CLASS_MAPPINGS[f"PydiffcoreSampler_{name}"]
    assert node.RETURN_TYPES == ("SAMPLER",)
    (sampler,) = getattr(node(), node.FUNCTION)(**{**defaults(node), **options})
    return sampler


def start(n=2):
    return 14.6 * torch.randn(n, 4, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.usefixtures("_comfy")
@pytest.mark.parametrize("name", comfyui.INPUTS)
def test_a_node_samples(name):
    events, model = [], Model(object())
    x = start()
    found = sampler_of(name).sample(model, x, SIGMAS, 7, events.append)
    assert [event["i"] for event in events] == list(range(6))
    assert {"i", "denoised", "x"} <= set(events[0])
    noisy = "eta" in comfyui.INPUTS[name]
    ours = getattr(k_diffusion, f"sample_{name}")
    extra = {"model_options": {}, "seed": 7, "denoise_mask": None}
    again = ours(model, x, SIGMAS, extra, disable=True, **({"seed": 7} if noisy else {}))
    assert torch.equal(found, again)
    if noisy:  # the seed decides, and a sample alone is the same
        alone = sampler_of(name).sample(model, x[:1], SIGMAS, 7)
        assert torch.equal(found[:1], alone)


@pytest.mark.usefixtures("_comfy")
@pytest.mark.parametrize("name", comfyui.INPUTS)
def test_flow_models_get_no_noise(name):
    """At D = 0 the flow's ODE from t = 1 is x_t = t·z, whatever the method."""
    model = Model(CONST())
    times = torch.linspace(1, 0.25, 4)
    x = start()

    def zero(x, sigma, **_):
        return torch.zeros_like(x)

    zero.inner_model = model.inner_model
    if "eta" in comfyui.INPUTS[name]:
        with pytest.raises(ValueError, match="flow model"):
            sampler_of(name).sample(zero, x, times, 7)
        found = sampler_of(name, eta=0.0).sample(zero, x, times, 7)
    else:
        found = sampler_of(name).sample(zero, x, times, 7)
    assert torch.allclose(found, 0.25 * x, rtol=1e-5)
    if "s_churn" in comfyui.INPUTS[name]:
        with pytest.raises(ValueError, match="s_churn above 0"):
            sampler_of(name, s_churn=2.0).sample(zero, x, times, 7)


def test_names():
    assert set(comfyui.NODE_CLASS_MAPPINGS) == set(comfyui.NODE_DISPLAY_NAME_MAPPINGS)
    with pytest.raises(ValueError, match="name is 'eular'"):
        comfyui.sampler_function("eular")
