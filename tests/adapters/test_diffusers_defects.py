# SPDX-License-Identifier: Apache-2.0
"""Where diffusers' numbers are not finite or lose digits and ours do not: docs/peers.md."""

import warnings

import pytest
import torch

from pydiffcore.adapters import diffusers as ours

diffusers = pytest.importorskip("diffusers")
COSINE = {"beta_schedule": "squaredcos_cap_v2"}


@pytest.fixture(autouse=True)
def _quiet():
    """Under NumPy 2 diffusers warns of how it makes arrays of tensors, and of the NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def loop(module, name, config, dtype=torch.float32):
    """A run of ten steps on a small network, and its timesteps."""
    scheduler = getattr(module, name)(**config)
    scheduler.set_timesteps(10)
    z = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = z.to(dtype) * float(scheduler.init_noise_sigma)
    for t in scheduler.timesteps:
        x = scheduler.step(torch.tanh(scheduler.scale_model_input(x, t)), t, x).prev_sample
    return x, scheduler.timesteps


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("UniPCMultistepScheduler", {"solver_type": "bh1", "final_sigmas_type": "zero"}),
        ("KDPM2AncestralDiscreteScheduler", COSINE),
    ],
)
def test_diffusers_is_not_finite(name, config):
    theirs, times = loop(diffusers, name, config)
    assert not torch.isfinite(theirs).all()
    found, expected = loop(ours, name, config)
    assert torch.isfinite(found).all()
    assert torch.isfinite(expected).all()
    # all but what is NaN is the same
    known = torch.isfinite(times.double())
    assert torch.equal(times[known].double(), expected[known].double())


def test_heun_from_level_20000_in_float32():
    """Relative to each one's own float64 run."""

    def lost(module):
        single, _ = loop(module, "HeunDiscreteScheduler", COSINE)
        double, _ = loop(module, "HeunDiscreteScheduler", COSINE, torch.float64)
        return float((single.double() - double).abs().max() / double.abs().max())

    assert lost(ours) < lost(diffusers) / 3
