# SPDX-License-Identifier: Apache-2.0
"""Flow, EDM and consistency schedulers: what a matrix of loops does not reach."""

import warnings

import pytest
import torch

import pydiffcore.adapters.diffusers as ours

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

EULER, HEUN = "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"
EDM, CONSISTENCY = "EDMEulerScheduler", "CMStochasticIterativeScheduler"
BAR = {"rtol": 1e-5, "atol": 1e-5}


def pair(name, **config):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(ours, name)(**config), getattr(diffusers, name)(**config)


def normal(*shape, seed=1, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def loop(scheduler, timesteps, dtype=torch.float32, begin=0, seeds=None, **step):
    """Last state of a loop in which each sample has its own generator."""
    scheduler.set_timesteps(**timesteps)
    x = normal(2, 3, 4, 4, dtype=dtype)
    x = x * float(getattr(scheduler, "init_noise_sigma", 1.0))
    if begin:
        scheduler.set_begin_index(begin)
    own = generators(5, 6) if seeds is None else seeds
    for t in scheduler.timesteps[begin:]:
        given = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(torch.tanh(given), t, x, generator=own, **step).prev_sample
    return x


@pytest.mark.parametrize(
    ("name", "config", "step"),
    [
        (EULER, {"stochastic_sampling": True, "shift": 3.0}, {}),
        (HEUN, {}, {"s_churn": 3.0, "s_noise": 1.01}),
        (EDM, {}, {"s_churn": 3.0, "s_tmin": 0.05, "s_tmax": 50.0}),
        (CONSISTENCY, {}, {}),
    ],
)
@pytest.mark.parametrize("begin", [0, 4])
def test_a_list_of_generators(name, config, step, begin):
    mine, theirs = (loop(s, N8, begin=begin, **step) for s in pair(name, **config))
    torch.testing.assert_close(mine, theirs, **BAR)
    other = loop(pair(name, **config)[0], N8, begin=begin, seeds=generators(5, 7), **step)
    torch.testing.assert_close(other[0], mine[0], rtol=0, atol=0)
    assert (other[1] - mine[1]).abs().max() > 1e-3


N8 = {"num_inference_steps": 8}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", [EULER, HEUN, EDM, CONSISTENCY])
def test_dtypes(name, dtype):
    mine, theirs = (loop(s, N8, dtype) for s in pair(name))
    assert mine.dtype == theirs.dtype
    eps = torch.finfo(dtype).eps if dtype != torch.float64 else 1e-6
    torch.testing.assert_close(mine.double(), theirs.double(), rtol=8 * eps, atol=8 * eps)


@pytest.mark.parametrize("stochastic", [False, True])
def test_a_time_per_token(stochastic):
    results = []
    for scheduler in pair(EULER, stochastic_sampling=stochastic):
        scheduler.set_timesteps(6)
        x, times = normal(2, 5, 3), scheduler.timesteps[[0, 1, 2, 3, 5, 0, 2, 2, 4, 5]].view(2, 5)
        for i, t in enumerate(scheduler.timesteps[:2]):
            step = {"per_token_timesteps": times, "generator": generators(7, 8)}
            x = scheduler.step(torch.tanh(x), t, x, **step).prev_sample
            assert scheduler.step_index == i + 1
        results.append(x)
    torch.testing.assert_close(*results, **BAR)


@pytest.mark.parametrize("name", [EULER, HEUN])
@pytest.mark.parametrize("begin", [None, 3])
def test_noise_is_added(name, begin):
    results = []
    for scheduler in pair(name, shift=3.0):
        scheduler.set_timesteps(8)
        x, z, at = normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=2), scheduler.timesteps[[3]]
        if begin is not None:
            scheduler.set_begin_index(begin)
        noised = [scheduler.scale_noise(x, at if name == HEUN else at.repeat(2), z)]
        scheduler.step(torch.tanh(x), at[0], x)
        noised.append(scheduler.scale_noise(x, at if name == HEUN else at.repeat(2), z))
        results.append(torch.stack(noised))
    torch.testing.assert_close(*results, **BAR)


def test_the_shift_can_be_set():
    mine, theirs = pair(EULER)
    for scheduler in (mine, theirs):
        scheduler.set_shift(2.5)
        assert scheduler.shift == 2.5
    torch.testing.assert_close(loop(mine, N8), loop(theirs, N8), **BAR)
    torch.testing.assert_close(mine.timesteps, theirs.timesteps)


@pytest.mark.parametrize("name", [EULER, HEUN, EDM])
def test_a_run_is_broken_off_and_begun_again(name):
    mine, theirs = pair(name)
    for scheduler in (mine, theirs):
        scheduler.set_timesteps(8)
        x = normal(2, 3, 4, 4)
        for t in scheduler.timesteps[:3]:
            x = scheduler.step(torch.tanh(x), t, x).prev_sample
    torch.testing.assert_close(loop(mine, N8), loop(theirs, N8), **BAR)


WRONG = [
    (EULER, {}, {"num_inference_steps": 3, "sigmas": [1.0, 0.5]}, "same length"),
    (EULER, {}, {"sigmas": [1.0, 0.5], "timesteps": [3.0]}, "same length"),
    (EULER, {}, {"sigmas": torch.ones(3).numpy(), "num_inference_steps": 2}, "same length"),
    (EULER, {}, {}, "same length"),
    (EULER, {"use_dynamic_shifting": True}, N8, "mu is None"),
    (CONSISTENCY, {}, {"timesteps": [3, 20]}, "descending"),
    (CONSISTENCY, {}, {"timesteps": [40, 20]}, "below 40"),
    (CONSISTENCY, {}, {"num_inference_steps": 41}, "at most 40"),
    (CONSISTENCY, {}, {}, "exactly one of"),
]


@pytest.mark.parametrize(("name", "config", "timesteps", "message"), WRONG)
def test_wrong_timesteps_are_named(name, config, timesteps, message):
    with pytest.raises(ValueError, match=message):
        getattr(ours, name)(**config).set_timesteps(**timesteps)


def test_wrong_configurations_are_named():
    with pytest.raises(ValueError, match="time_shift_type"):
        ours.FlowMatchEulerDiscreteScheduler(time_shift_type="cubic")
    with pytest.raises(ValueError, match="only one of"):
        ours.FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True, use_beta_sigmas=True)
    with pytest.raises(ValueError, match="sigma_schedule"):
        ours.EDMEulerScheduler(sigma_schedule="linear")
    for name in (EULER, HEUN, EDM, CONSISTENCY):
        scheduler = getattr(ours, name)()
        scheduler.set_timesteps(4)
        with pytest.raises(ValueError, match="integers, such as the indices"):
            scheduler.step(torch.zeros(1, 1), 1, torch.zeros(1, 1))
