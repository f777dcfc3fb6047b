# SPDX-License-Identifier: Apache-2.0
"""The steps of a trajectory: kept, edited, and with gradients."""

import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import Denoiser, levels, prediction, samplers

PLAN = pydiffcore.trace(samplers.heun, levels.karras(4))

KEPT = {
    "D(x, sigma)": (None, torch.float32),
    "eps": (prediction.eps(pydiffcore.process.vp()), torch.float32),
    "bfloat16": (None, torch.bfloat16),
}


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("kind", KEPT)
def test_steps_may_be_kept(kind, backend, grad):
    """A list of steps holds what each was when it was yielded, also of a network of views."""
    meaning, io_dtype = KEPT[kind]
    weight = torch.tensor(0.5, dtype=io_dtype, requires_grad=grad)
    for network in (lambda x, c: weight * x, lambda x, c: x):
        model = Denoiser(network) if meaning is None else Denoiser(network, meaning)
        plan = pydiffcore.trace(samplers.heun, levels.karras(4), meaning)
        kw = {"shape": (3,), "seeds": range(2), "io_dtype": io_dtype, "backend": backend}
        seen = []
        for step in (run := pydiffcore.trajectory(model, plan, grad=grad, **kw)):
            F = None if step.F is None else step.F.detach().clone()
            seen.append((step.x.detach().clone(), F, step.denoised.detach()))
        assert run.gi_frame is None
        kept = list(pydiffcore.trajectory(model, plan, grad=grad, **kw))
        assert len(kept) == plan.nfe + 1
        for step, (x, F, D) in zip(kept, seen, strict=True):
            assert torch.equal(step.x, x)
            assert F is None or torch.equal(step.F, F)
            assert torch.equal(step.denoised, D)
        assert torch.equal(kept[-1].x, pydiffcore.sample(model, plan, **kw))
        if grad and network(torch.ones(1), 0).requires_grad:
            kept[-1].x.sum().backward()
            assert torch.isfinite(weight.grad)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("kind", KEPT)
def test_an_edited_state_is_what_the_row_goes_on_from(kind, backend, inference):
    """Euler's row with the new x and the old F, whichever memory the network's input is in."""
    meaning, io_dtype = KEPT[kind]
    for network in (lambda x, c: torch.tanh(x), lambda x, c: x):
        model = Denoiser(network) if meaning is None else Denoiser(network, meaning)
        plan = pydiffcore.trace(samplers.euler, levels.explicit([10.0, 4.0, 1.0]), meaning)
        kw = {"shape": (3,), "seeds": range(2), "io_dtype": io_dtype, "backend": backend}
        with torch.inference_mode(inference):
            expected = None
            for step in pydiffcore.trajectory(model, plan, **kw):
                if expected is not None:
                    assert torch.allclose(step.x, expected, rtol=1e-5, atol=1e-5)
                if step.call == 1:
                    step.x[:, 0] = 2.5
                    step.x.mul_(0.5)
                if step.F is not None:
                    after = [4.0, 1.0][step.call]
                    D = step.denoised
                    expected = D + (after / step.sigma) * (step.x - D)


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("call", [0, 1])
@pytest.mark.parametrize("trained", [False, True])
def test_an_edit_has_its_gradient(backend, call, trained):
    """d(result)/d(shift) of a linear model is that of the edited state, wherever the edit is."""
    weight = torch.tensor(0.5, requires_grad=trained)
    plan = pydiffcore.trace(samplers.euler, levels.explicit([10.0, 4.0, 1.0]))
    kw = {"shape": (3,), "seeds": range(2), "backend": backend}
    shift = torch.tensor(0.25, requires_grad=True)
    for step in pydiffcore.trajectory(lambda x, sigma: weight * x, plan, grad=True, **kw):
        if step.call == call:
            step.x.add_(shift)
    step.x.sum().backward()
    # x' = D + r(x − D), of which D is the old one where x was edited
    ratios = [0.4, 0.25]
    slope = ratios[call] * np.prod([0.5 + 0.5 * r for r in ratios[call + 1 :]])
    assert float(shift.grad) == pytest.approx(6 * slope, rel=1e-5)
    assert not trained or torch.isfinite(weight.grad)


def test_an_edit_does_not_disturb_what_the_network_kept():
    weight = torch.tensor(0.5, requires_grad=True)
    plan = pydiffcore.trace(samplers.euler, levels.explicit([10.0, 4.0, 1.0]))
    kw = {"shape": (3,), "seeds": range(2), "backend": "native"}
    for step in pydiffcore.trajectory(lambda x, sigma: weight * x, plan, grad=True, **kw):
        if step.call == 0:
            step.x[:, 0] = 0.5
    step.x.sum().backward()
    assert torch.isfinite(weight.grad)


def test_a_network_that_changes_its_input_is_told_beside_the_other_who_can():
    def network(x, sigma):
        return x.mul_(0.5)

    for run in (pydiffcore.sample, lambda *a, **kw: list(pydiffcore.trajectory(*a, **kw))):
        with pytest.raises(RuntimeError, match=r"the network changed.* or the code between"):
            run(network, PLAN, shape=(4,), seeds=range(2))
