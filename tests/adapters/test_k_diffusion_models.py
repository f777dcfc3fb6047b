# SPDX-License-Identifier: Apache-2.0
"""Models that k-diffusion's functions are given: its wrappers, copies, EDM's, a denoiser."""

import k_diffusion_parity as parity
import pytest
import torch
from k_diffusion_parity import SIGMAS, sample, start

import pydiffcore
from pydiffcore import prediction
from pydiffcore.adapters import k_diffusion as ours
from pydiffcore.adapters.k_diffusion.peer import missing
from pydiffcore.adapters.k_diffusion.wrapper import network_of

needs_peer = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")


@needs_peer
def test_wrappers_of_another_behaviour_are_called_whole():
    model = parity.model_of("eps")
    assert network_of(model).prediction.name.startswith("k_diffusion.eps")

    class Own(type(model)):
        def forward(self, input, sigma, **kwargs):
            return 0 * input

    other = parity.model_of("eps")
    other.__class__ = Own
    assert network_of(other).call is other
    model.register_forward_hook(lambda *_: None)
    assert network_of(model).call is model


def vendored(kind, **changed):
    """A wrapper whose class is a copy in another package."""
    model = parity.model_of(kind)
    theirs = type(model)
    own = {k: v for k, v in vars(theirs).items() if k not in ("__dict__", "__weakref__")}
    known = next(b for b in theirs.__mro__ if b.__module__ == "k_diffusion.external")
    own |= {k: v for k, v in vars(known).items() if callable(v)}
    own |= {"__module__": "ldm.modules.k_diffusion.external", **changed}
    model.__class__ = type(known.__name__, known.__bases__, own)
    return model


@needs_peer
@pytest.mark.parametrize("kind", ["eps", "v"])
def test_copies_of_wrappers_in_other_packages(kind):
    model = vendored(kind)
    network = network_of(model)
    assert network.call is not model
    assert network.prediction == network_of(parity.model_of(kind)).prediction
    x, sigmas = start(dtype=torch.float64), SIGMAS.double()
    whole = sample("heun", lambda *a, **k: model(*a, **k), x, sigmas)
    assert parity.relative(sample("heun", model, x, sigmas), whole) <= 1e-6
    # a copy whose scalings are others, or take other arguments, is called whole
    other = vendored(kind, get_scalings=lambda self, sigma: (2 * sigma, sigma))
    assert network_of(other).call is other
    other = vendored(kind, get_scalings=lambda self: None)
    assert network_of(other).call is other


@needs_peer
def test_hooks_of_all_modules_are_called():
    model, seen = parity.model_of("eps"), []
    hooks = torch.nn.modules.module
    for register in (
        hooks.register_module_forward_hook, hooks.register_module_forward_pre_hook
    ):  # fmt: skip
        handle = register(lambda module, *_: seen.append(module))
        try:
            assert network_of(model).call is model
            sample("euler", model)
        finally:
            handle.remove()
        assert seen.count(model) == 6
        seen.clear()
    assert network_of(model).call is not model


class Inner(torch.nn.Module):
    """A network that tells its inputs apart."""

    def forward(self, x, noise_labels, class_labels=None, scale=1.0):
        assert x.dtype is noise_labels.dtype is torch.float32
        shift = 0.0 if class_labels is None else class_labels.sum(1)[:, None, None, None]
        return scale * torch.tanh(x + noise_labels[:, None, None, None] + shift)


class Precond(torch.nn.Module):
    """D = c_skip x + c_out F(c_in x; log(σ)/4): Karras et al. 2022, eq. 7."""

    def __init__(self, label_dim=0, inner="model"):
        super().__init__()
        self.sigma_data, self.label_dim, self.inner = 0.5, label_dim, inner
        setattr(self, inner, Inner())

    def forward(self, x, sigma, class_labels=None, **more):
        x, sigma = x.float(), sigma.float().reshape(-1, 1, 1, 1)
        if class_labels is None and self.label_dim:
            class_labels = torch.zeros(1, self.label_dim)
        total = (sigma**2 + self.sigma_data**2).sqrt()
        F = getattr(self, self.inner)(
            x / total, (sigma.log() / 4).flatten(), class_labels=class_labels, **more
        )
        return (self.sigma_data / total) ** 2 * x + sigma * self.sigma_data / total * F


@pytest.mark.parametrize("inner", ["model", "unet"])
@pytest.mark.parametrize("labels", [None, torch.tensor([[0, 1], [1, 0], [1, 1]])])
def test_edm_s_wrapper_is_fused_where_its_user_says_so(inner, labels):
    model = Precond(0 if labels is None else 2, inner)
    assert network_of(model).call is model  # nothing in a class tells
    extra = {} if labels is None else {"class_labels": labels}
    extra["scale"] = 0.7
    for dtype in (torch.float32, torch.float64):
        x = start(dtype=dtype)
        whole = sample("heun", model, x, SIGMAS.double(), extra_args=extra)
        events = []
        found = sample(
            "heun", ours.edm_network(model), x, SIGMAS.double(), extra_args=extra,
            callback=events.append,
        )  # fmt: skip
        assert found.dtype is dtype
        assert parity.relative(found.double(), whole.double()) <= 1e-5
        denoised = model(events[0]["x"], SIGMAS[:1].expand(3), **extra)
        assert parity.relative(events[0]["denoised"].double(), denoised.double()) <= 1e-5


def test_a_denoiser_as_model():
    network = Precond().model
    model = pydiffcore.Denoiser(network, prediction.edm(0.5), {"scale": 0.5})
    whole = sample("dpmpp_2m", Precond(), extra_args={"scale": 0.5})
    assert parity.relative(sample("dpmpp_2m", model).double(), whole.double()) <= 1e-5
    half = sample("dpmpp_2m", model, extra_args={"scale": 1.0})
    assert parity.relative(half.double(), whole.double()) > 1e-3
    guided = pydiffcore.Denoiser(network, guidance=pydiffcore.Guidance(2.0, {"scale": 0.0}))
    with pytest.raises(ValueError, match="model is a Denoiser with guidance"):
        sample("dpmpp_2m", guided)
    for wrong in (torch.nn.Identity(), network, "net"):
        with pytest.raises(TypeError, match=r"model is .*, expected EDM's wrapper"):
            ours.edm_network(wrong)
