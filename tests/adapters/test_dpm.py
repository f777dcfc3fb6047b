# SPDX-License-Identifier: Apache-2.0
"""The DPM-Solver family beyond the matrix: given noise, learned variances, shifts, options."""

import warnings

import pytest
import torch

import pydiffcore.adapters.diffusers as ours

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # of algorithm_type "dpmsolver"
]

MULTI, SINGLE = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"


def pair(name, **config):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(ours, name)(**config), getattr(diffusers, name)(**config)


def loop(scheduler, *, steps=None, channels=1, dtype=torch.float32, step=None, n=9):
    """States after each step on a small network; ``step`` makes the further arguments of a step."""
    scheduler.set_timesteps(**(steps or {"num_inference_steps": n}))
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    states = []
    for i, t in enumerate(scheduler.timesteps):
        F = torch.tanh(x).repeat(1, channels, 1, 1) * 0.5
        x = scheduler.step(F, t, x, **(step(i) if step else {})).prev_sample
        states.append(x)
    return states


def difference(a, b):
    assert [each.dtype for each in a] == [each.dtype for each in b]
    assert all(bool(each.isfinite().all()) for each in [*a, *b])  # max() would pass over NaN
    return max(
        float((p.double() - q.double()).abs().max() / q.abs().max().clamp(min=1))
        for p, q in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("wrong", [0, 1])
def test_the_difference_sees_nan(wrong):
    runs = [[torch.ones(2), torch.ones(2)] for _ in range(2)]
    assert difference(*runs) == 0
    runs[wrong][1] = torch.full((2,), torch.nan)
    with pytest.raises(AssertionError):
        difference(*runs)


@pytest.mark.parametrize("algorithm", ["sde-dpmsolver++", "sde-dpmsolver"])
def test_noise_that_is_given(algorithm):
    """A generator beside it is not drawn from, as in diffusers."""
    z = torch.randn(9, 2, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    config = {"algorithm_type": algorithm, "final_sigmas_type": "sigma_min"}
    found = []
    for scheduler in pair(MULTI, **config):
        generator = torch.Generator().manual_seed(4)
        before = generator.get_state()
        given = [{"variance_noise": each, "generator": generator} for each in z]
        found.append(loop(scheduler, step=given.__getitem__))
        assert torch.equal(generator.get_state(), before)
    assert difference(*found) <= 1e-5


@pytest.mark.parametrize("name", [MULTI, SINGLE])
@pytest.mark.parametrize("kind", ["learned", "learned_range"])
def test_a_learned_variance_is_left_aside(name, kind):
    a, b = (loop(each, channels=2) for each in pair(name, variance_type=kind))
    assert a[-1].shape == (2, 3, 4, 4)
    assert difference(a, b) <= 1e-5


@pytest.mark.parametrize("name", [MULTI, SINGLE])
def test_a_dynamic_shift(name):
    config = {
        "use_flow_sigmas": True, "prediction_type": "flow_prediction",
        "use_dynamic_shifting": True,
    }  # fmt: skip
    steps = {"num_inference_steps": 9, "mu": 0.9}
    (a, b), plain = pair(name, **config), pair(name, **config)[0]
    assert difference(loop(a, steps=steps), loop(b, steps=steps)) <= 1e-5
    assert not torch.equal(plain.timesteps, a.timesteps)
    with pytest.raises(AssertionError):
        pair(name)[0].set_timesteps(9, mu=0.9)


@pytest.mark.parametrize("name", [MULTI, SINGLE, "EDMDPMSolverMultistepScheduler"])
@pytest.mark.parametrize("algorithm", ["dpmsolver++", "sde-dpmsolver++"])
def test_half_precision(name, algorithm):
    """Two roundings of float16 apart: theirs rounds between the operations of a step."""

    def step(i):
        return {"generator": torch.Generator().manual_seed(i)}

    a, b = (
        loop(each, dtype=torch.float16, step=step) for each in pair(name, algorithm_type=algorithm)
    )
    assert difference(a, b) <= 0.02


@pytest.mark.parametrize("solver_order", [2, 3])
def test_an_uneven_number_of_steps_is_written_into_the_configuration(solver_order):
    a, b = pair(SINGLE, lower_order_final=False, solver_order=solver_order)
    a.set_timesteps(7)
    b.set_timesteps(7)
    assert dict(a.config) == dict(b.config)
    assert a.order_list == b.order_list


@pytest.mark.parametrize("n", [1000, 700])
@pytest.mark.parametrize("name", [MULTI, SINGLE, "DEISMultistepScheduler", "SASolverScheduler"])
def test_levels_that_repeat_stay_finite(name, n):
    """Rounding of many timesteps makes neighbours equal, where diffusers divides by zero."""
    options = {"solver_order": 3} if name != "SASolverScheduler" else {}
    mine, _ = pair(name, **options)
    mine.set_timesteps(n)
    assert len(set(mine.timesteps.tolist())) < n or n == 700
    assert bool(loop(mine, n=n)[-1].isfinite().all())


def test_noise_is_added_in_their_frame():
    for name in (MULTI, SINGLE, "DEISMultistepScheduler", "UniPCMultistepScheduler"):
        for flow in (False, True):
            a, b = pair(name, use_flow_sigmas=flow)
            a.set_timesteps(9)
            b.set_timesteps(9)
            x, z = torch.ones(2, 3), torch.full((2, 3), 2.0)
            t = b.timesteps[[2, 5]]
            torch.testing.assert_close(a.add_noise(x, z, t), b.add_noise(x, z, t))
