# SPDX-License-Identifier: Apache-2.0
"""Outputs that require a gradient from the middle of a run: the same samples, and the gradient."""

import pytest
import torch

import pydiffcore.adapters.diffusers as ours

pytest.importorskip("diffusers", reason="diffusers is not installed")
HISTORIES = {
    "LMSDiscreteScheduler": {},
    "EDMDPMSolverMultistepScheduler": {"solver_order": 3},
    "DPMSolverMultistepScheduler": {"solver_order": 3},
    "UniPCMultistepScheduler": {"solver_order": 3},
    "DEISMultistepScheduler": {"solver_order": 3},
    "IPNDMScheduler": {},
    "PNDMScheduler": {"skip_prk_steps": True},
}


def run(name, options, outputs, start):
    """The result of a loop on given outputs, those from ``start`` on with a gradient, and these."""
    scheduler = getattr(ours, name)(**options)
    scheduler.set_timesteps(8)
    x, given = torch.ones(2, 3, 4, 4), []
    for i, t in enumerate(scheduler.timesteps):
        F = outputs[i].clone().requires_grad_(i >= start)
        given += [F] if i >= start else []
        x = scheduler.step(F, t, x).prev_sample
    return x, given


@pytest.mark.parametrize("start", [1, 2, 5])
@pytest.mark.parametrize("name", HISTORIES)
def test_a_gradient_from_the_middle_of_a_run(name, start):
    outputs = torch.randn(9, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    plain, _ = run(name, HISTORIES[name], outputs, start=99)
    found, given = run(name, HISTORIES[name], outputs, start)
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-5)
    *gradients, last = torch.autograd.grad(found.sum(), given, allow_unused=True)
    assert all(torch.isfinite(each).all() and each.abs().max() > 0 for each in gradients)
    assert (last is None) == (name == "PNDMScheduler")  # whose last step goes nowhere
