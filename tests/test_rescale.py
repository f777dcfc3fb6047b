# SPDX-License-Identifier: Apache-2.0
"""Rescaled guidance: diffusers' formula, each sample by itself, in any batch."""

import pytest
import torch

import pydiffcore
from pydiffcore import Denoiser, Guidance, levels, prediction, samplers
from pydiffcore.rescale import rescaled

EDM = prediction.edm()
PLAN = pydiffcore.trace(samplers.euler, levels.karras(4), EDM)
LABELS = torch.linspace(-1, 1, 5, dtype=torch.float64)
DRAW = {"shape": (3, 4), "seeds": range(5), "dtype": torch.float64}


def network(x, c_noise, label=None):
    shift = 0.0 if label is None else label[:, None, None].to(x.dtype)
    return torch.sin(3 * x + shift) + 0.5 * shift + 0.1 * c_noise[:, None, None].to(x.dtype)


def guided(weight, **options):
    guidance = Guidance(weight, {"label": None}, **options)
    return Denoiser(network, EDM, {"label": LABELS}, guidance)


def test_it_is_the_formula_of_diffusers():
    pytest.importorskip("diffusers", reason="diffusers is not installed")
    from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion as peer

    model = rescaled(guided(5.0), 0.7)
    x, c = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(5)
    told, free = network(x, c, LABELS), network(x, c)
    expected = peer.rescale_noise_cfg(free + 5.0 * (told - free), told, guidance_rescale=0.7)
    torch.testing.assert_close(model.network(x, c, **model.condition), expected)


@pytest.mark.parametrize("weight", [4.0, torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])])
def test_without_a_share_it_is_plain_guidance_and_batches_change_nothing(weight):
    plain = pydiffcore.sample(guided(weight), PLAN, **DRAW)
    none = pydiffcore.sample(rescaled(guided(weight), 0.0), PLAN, **DRAW)
    torch.testing.assert_close(none, plain, rtol=1e-12, atol=1e-12)
    whole = pydiffcore.sample(rescaled(guided(weight)), PLAN, **DRAW)
    assert not torch.allclose(whole, plain, rtol=1e-2)
    parts = pydiffcore.sample(rescaled(guided(weight)), PLAN, batch=2, **DRAW)
    torch.testing.assert_close(parts, whole, rtol=1e-13, atol=1e-13)


def test_an_output_without_deviation_is_left_alone():
    model = Denoiser(
        lambda x, c, label=None: torch.zeros_like(x), EDM, {"label": LABELS},
        Guidance(3.0, {"label": None}),
    )  # fmt: skip
    assert torch.isfinite(pydiffcore.sample(rescaled(model), PLAN, **DRAW)).all()


def test_16_bits_are_worked_out_in_32():
    x, c = torch.full((5, 3, 4), 200.0), torch.zeros(5)
    model = rescaled(Denoiser(
        lambda x, c, label=None: 100 * network(x, c, label), EDM, {"label": LABELS},
        Guidance(900.0, {"label": None}),
    ), 1.0)  # fmt: skip
    single = model.network(x, c, **model.condition)
    half = model.network(x.half(), c, **model.condition)
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), single, rtol=0.05, atol=5.0)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: rescaled(network), TypeError, "denoiser is function"),
        (lambda: rescaled(Denoiser(network, EDM)), ValueError, "no guidance"),
        (lambda: rescaled(guided(2.0), 1.5), ValueError, "phi is 1.5"),
        (lambda: rescaled(guided(2.0, interval=(0.1, 1.0))), ValueError, "expected all levels"),
    ],
)
def test_what_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()
