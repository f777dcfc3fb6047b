# SPDX-License-Identifier: Apache-2.0
"""What callers do to a scheduler: other shapes, edits that torch does not count, inference mode."""

import math
import sys
from pathlib import Path

import pytest
import torch

import pydiffcore.adapters.diffusers as ours

sys.path.insert(0, str(Path(__file__).parents[1]))

import parity

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Should have:UserWarning"),
]
SHAPE = (2, 3, 4, 4)
NAMES = sorted(set(ours.FAMILIES) - {"ScoreSdeVeScheduler"})


def made(name, **config):
    if name == "DPMSolverSDEScheduler":
        pytest.importorskip("torchsde", reason="torchsde is not installed")
        config["noise_sampler_seed"] = 3
    scheduler = getattr(ours, name)(**config)
    scheduler.set_timesteps(5)
    return scheduler


def start(shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
def test_an_output_of_another_shape_is_named(name):
    scheduler, x = made(name), start()
    t = scheduler.timesteps[0]
    scheduler.scale_model_input(x, t)
    with pytest.raises(ValueError, match="model_output has shape"):
        scheduler.step(torch.zeros(2, 6, 4, 4), t, x)


def test_an_output_and_noise_of_one_sample_serve_all():
    one, z = torch.full((1, *SHAPE[1:]), 0.3), start((1, *SHAPE[1:]))
    found = []
    for library in (ours, diffusers):
        scheduler = library.DDIMScheduler()
        scheduler.set_timesteps(5)
        x = start()
        for t in scheduler.timesteps:
            x = scheduler.step(one, t, x, eta=1.0, variance_noise=z).prev_sample
        found.append(x)
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)


def test_a_brownian_tree_fits_its_batch():
    scheduler = made("DPMSolverSDEScheduler")
    for i, shape in enumerate([(1, 3, 8, 8), (2, 3, 6, 6)]):
        x = start(shape)
        t = scheduler.timesteps[i]
        x = scheduler.step(torch.tanh(scheduler.scale_model_input(x, t)), t, x).prev_sample
        assert bool(x.isfinite().all())


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
def test_edits_that_torch_does_not_count(name):
    found = []
    for library in (ours, diffusers):
        scheduler = getattr(library, name)()
        scheduler.set_timesteps(5)
        x = start()
        for t in scheduler.timesteps:
            F = torch.tanh(scheduler.scale_model_input(x, t))
            x = scheduler.step(F, t, x).prev_sample
            x.numpy()[0] *= 0.5
            x.data[1] += 0.1
        found.append(x)
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_all_of_a_run_in_inference_mode(name):
    with torch.inference_mode():
        scheduler, x = made(name), start()
        for t in scheduler.timesteps:
            F = torch.tanh(scheduler.scale_model_input(x, t)) * 0.5
            x = scheduler.step(F, t, x, return_dict=False)[0]
        assert bool(x.isfinite().all())


def test_the_second_output_in_inference_mode_is_made_at_once():
    with torch.inference_mode():
        scheduler, x = made("DDIMScheduler", clip_sample=False), start()
        result = scheduler.step(0 * x, scheduler.timesteps[0], x, return_dict=False)
        expected = result[1].clone()
        x.add_(100.0)
        torch.testing.assert_close(result[1], expected)


def test_a_seeded_run_begun_again_takes_the_new_seed():
    scheduler = made("DDPMScheduler")
    scheduler.noise = "seeded"
    x, t = start(), scheduler.timesteps[0]

    def first(seed):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return scheduler.step(0 * x, t, x, generator=generator).prev_sample

    one, two, again = first(1), first(2), first(1)
    assert torch.equal(one, again)
    assert not torch.equal(one, two)
    assert not torch.equal(first(None), first(None))


def test_the_harness_sees_nan():
    values = torch.zeros(3)
    assert parity.error(values * math.nan, values, 1.0) == math.inf
    assert parity.away(values * math.nan, values) == math.inf
    assert parity.away(values, values * math.nan) == 0.0  # of its own some are


@pytest.mark.parametrize("name", sorted(ours.FAMILIES))
def test_an_unknown_option_is_refused(name):
    with pytest.raises(TypeError, match="no_such_option"):
        getattr(ours, name)(no_such_option=1)
