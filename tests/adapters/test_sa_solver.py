# SPDX-License-Identifier: Apache-2.0
"""SA-Solver beyond the matrix: τ of each step, and what its own has no step of."""

import pytest
import torch

import pydiffcore.adapters.diffusers as ours

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
FIRST = {"predictor_order": 1, "corrector_order": 1}  # whose float32 steps lose no digits


def loop(library, n, **config):
    """States after each step on a small network."""
    scheduler = library.SASolverScheduler(**config)
    scheduler.set_timesteps(n)
    scheduler.set_begin_index(0)
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    draw, states = torch.Generator().manual_seed(2), []
    for t in scheduler.timesteps:
        x = scheduler.step(0.5 * torch.tanh(x), t, x, generator=draw).prev_sample
        states.append(x)
    return scheduler, torch.stack(states)


def test_tau_belongs_to_the_step_where_levels_repeat():
    """Timesteps beyond the table have its last level: the first ones differ in their time alone."""
    config = {
        **FIRST, "timestep_spacing": "leading", "steps_offset": 400,
        "tau_func": lambda t: 0.0 if t > 1000 else 0.8,
    }  # fmt: skip
    mine, found = loop(ours, 9, **config)
    _, expected = loop(diffusers, 9, **config)
    assert mine.timesteps[:4].tolist() == [1300, 1200, 1100, 1000]
    assert len(set(mine.sigmas[:4].tolist())) == 1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_tau_is_a_function_of_the_timestep_as_a_tensor():
    config = {**FIRST, "tau_func": lambda t: torch.sigmoid((t.float() - 500) / 100)}
    found, expected = (loop(library, 9, **config)[1] for library in (ours, diffusers))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


REFUSED = [
    ({"algorithm_type": "noise_prediction", "thresholding": True}, 1, "thresholding is True"),
    ({"variance_type": "learned"}, 2, "variance_type is 'learned'"),
    (
        {"variance_type": "learned_range", "algorithm_type": "noise_prediction"}, 2,
        "variance_type is 'learned_range'",
    ),
    (
        {"algorithm_type": "noise_prediction", "prediction_type": "flow_prediction"}, 1,
        "prediction_type is 'flow_prediction'",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("config", "halves", "message"), REFUSED)
def test_what_theirs_has_no_step_of_is_named(config, halves, message):
    x = torch.ones(2, 3, 4, 4)
    F = x.repeat(1, halves, 1, 1)
    kinds = []
    for library in (diffusers, ours):
        scheduler = library.SASolverScheduler(**config)
        scheduler.set_timesteps(9)
        with pytest.raises((ValueError, RuntimeError)) as caught:
            scheduler.step(F, scheduler.timesteps[0], x)
        kinds.append(caught.type)
    assert issubclass(kinds[1], kinds[0])
    assert message in str(caught.value)


def test_the_mean_alone_of_a_network_with_a_learned_variance():
    config = {**FIRST, "variance_type": "learned_range"}
    found, expected = (loop(library, 9, **config)[1] for library in (ours, diffusers))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
