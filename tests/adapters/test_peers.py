# SPDX-License-Identifier: Apache-2.0
"""Peers return what our own run returns, on the same network, state and noise."""

import cases
import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import levels, prediction, process, samplers
from pydiffcore.adapters import eager, peers

BATCH, SHAPE = 3, (2, 5)
BETAS = process.linear_betas()
DISCRETE = process.discrete(BETAS)


def network(x, c_noise):
    return torch.tanh(x) + 0.1 * torch.sin(2 * x + c_noise[:, None, None] / 500)


def both(plan, model, run, dtype=torch.float32):
    """Our result and the peer's."""
    x = plan.init_scale * torch.randn(
        (BATCH, *SHAPE), generator=torch.Generator().manual_seed(0), dtype=dtype
    )
    ours = pydiffcore.sample(
        pydiffcore.Denoiser(network, model), plan, shape=SHAPE, seeds=range(BATCH), x=x,
        noise=torch.Generator().manual_seed(1), dtype=dtype,
    )  # fmt: skip
    return ours, run(network, x, torch.Generator().manual_seed(1))


def difference(a, b):
    return float((a - b).abs().max() / a.abs().max())


@pytest.mark.parametrize("form", eager.FORMS)
@pytest.mark.parametrize("case", cases.CASES, ids=cases.ids(cases.CASES))
def test_eager(case, form):
    model = prediction.edm()
    plan = pydiffcore.trace(case.sampler, case.levels(6), model, **case.options)
    ours, theirs = both(plan, model, eager.eager(plan, form), torch.float64)
    assert difference(ours, theirs) <= 1e-12


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile uses torch.jit
@pytest.mark.parametrize("sampler", [samplers.euler, samplers.heun, samplers.dpmpp_2m])
def test_compiled(sampler):
    """Compiling takes tens of seconds."""
    model = prediction.edm()
    plan = pydiffcore.trace(sampler, levels.karras(5), model)
    assert difference(*both(plan, model, eager.compiled(plan))) <= 1e-5


def test_eager_needs_a_plan_without_clipping():
    plan = pydiffcore.trace(samplers.euler, levels.karras(3), clip=(-1, 1))
    with pytest.raises(ValueError, match="the plan clips"):
        eager.eager(plan)
    with pytest.raises(ValueError, match="the plan clips"):
        eager.compiled(plan)


@pytest.mark.parametrize("sampler", peers.DISCRETE)
@pytest.mark.parametrize(
    ("kind", "model"),
    [("epsilon", prediction.eps(DISCRETE)), ("v_prediction", prediction.v(DISCRETE))],
)
def test_diffusers(sampler, kind, model):
    plan = pydiffcore.trace(getattr(samplers, sampler), levels.trailing(20, DISCRETE), model)
    found = peers.peers(sampler, 20, plan, peers.Convention(kind, BETAS))
    (run,) = [run for name, run in found.items() if name.startswith("diffusers ")]
    assert difference(*both(plan, model, run)) <= 1e-5


@pytest.mark.parametrize("sampler", peers.EDM)
def test_diffusers_edm(sampler):
    model = prediction.edm(0.7)
    plan = pydiffcore.trace(getattr(samplers, sampler), levels.karras(20), model)
    found = peers.peers(sampler, 20, plan, peers.Convention("edm", sigma_data=0.7))
    (run,) = [run for name, run in found.items() if name.startswith("diffusers ")]
    assert difference(*both(plan, model, run)) <= 1e-5


def test_no_peer_for_what_diffusers_has_no_word_for():
    plan = pydiffcore.trace(samplers.euler, levels.karras(3))
    assert not any(
        name.startswith("diffusers") for name in peers.peers("euler", 3, plan, peers.Convention())
    )
    assert not any(
        name.startswith("diffusers")
        for name in peers.peers("heun", 3, plan, peers.Convention("edm"))
    )


@pytest.mark.skipif(not peers.installed("k-diffusion"), reason="k-diffusion is not installed")
@pytest.mark.parametrize("sampler", peers.K_DIFFUSION)
def test_k_diffusion(sampler):
    model = prediction.edm()
    plan = pydiffcore.trace(getattr(samplers, sampler), levels.karras(8, sigma_min=0.1), model)
    found = peers.peers(sampler, 8, plan, peers.Convention())
    assert (
        difference(*both(plan, model, found[f"k-diffusion {peers.K_DIFFUSION[sampler]}"])) <= 1e-4
    )


def test_labels():
    plan = pydiffcore.trace(samplers.heun, levels.karras(3), prediction.edm())
    labels = peers.labels_of(plan, torch.zeros(4, 2))
    assert labels.shape == (5, 4)
    assert np.allclose(labels[:, 0].numpy(), plan.c_noise)
