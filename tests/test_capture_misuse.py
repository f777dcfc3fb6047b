# SPDX-License-Identifier: Apache-2.0
"""A captured loop and what cannot be recorded, is not finite or does not fit."""

import numpy as np
import pytest
import torch
from recording import SEEDS, SHAPE, VP, denoiser, drawn, equal, network, plan

import pydiffcore
from pydiffcore import levels, prediction, samplers
from pydiffcore.ops import graph


def test_what_cannot_be_recorded_runs_eagerly_and_says_why(recorded, monkeypatch):
    def refuse(body, once, device):
        once()
        raise graph.CaptureError("it waits for the device")

    monkeypatch.setattr(graph, "record", refuse)
    draw, seen = pydiffcore.capture(denoiser(), plan(), SHAPE), []
    for _ in range(2):
        assert equal(draw(SEEDS), drawn(denoiser(), plan()))
        assert (draw.kind, draw.reason) == ("eager", "the network: it waits for the device")
    draw(SEEDS, on_step=lambda done, n: seen.append((done, n)))
    assert seen == [(i, 6) for i in range(1, 7)]
    assert "on_step" in draw.reason


def test_a_condition_that_cannot_be_told_from_another_is_refused():
    model = pydiffcore.Denoiser(network, prediction.eps(VP), {"shift": np.zeros(3)})
    draw = pydiffcore.capture(model, plan(), SHAPE)
    with pytest.raises(TypeError, match=r"condition\['shift'\] is ndarray, expected tensors"):
        draw(SEEDS)


def test_a_value_that_is_not_finite_is_found_at_the_end(recorded):
    def late(x, c_noise):
        return torch.where(c_noise[:, None, None] < 100, torch.nan, x)

    model = pydiffcore.Denoiser(late, prediction.eps(VP))
    draw = pydiffcore.capture(model, plan(), SHAPE)
    with pytest.raises(FloatingPointError, match="sample 0 of 3"):
        draw(SEEDS)
    assert draw(SEEDS, check=False).isnan().any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"condition": {"label": 1}}, r"condition has \['label'\]"),
        ({"weight": 2.0}, "no guidance"),
        ({"seeds": []}, "seeds is empty"),
        ({"plan": pydiffcore.trace(samplers.euler, levels.karras(3))}, "prediction"),
        ({"x": torch.full((3, *SHAPE), torch.nan)}, "x holds"),
        ({"condition": {"shift": torch.zeros(4)}}, "size|shape"),
    ],
)
def test_what_does_not_fit_is_named(recorded, arguments, words):
    draw = pydiffcore.capture(denoiser(), plan(), SHAPE)
    draw(SEEDS)
    with pytest.raises((ValueError, TypeError, RuntimeError), match=words):
        draw(**{"seeds": SEEDS, **arguments})
    assert equal(draw(SEEDS), drawn(denoiser(), plan()))


def test_an_initial_state_is_looked_at_where_values_are_checked_alone(recorded):
    """Looking waits for the device, which check=False does not."""
    draw, x = pydiffcore.capture(denoiser(), plan(), SHAPE), torch.zeros(3, *SHAPE)
    x[1] = torch.nan
    with pytest.raises(ValueError, match="x holds"):
        draw(SEEDS, x=x)
    drawn = draw(SEEDS, x=x, check=False)
    assert drawn[1].isnan().all()
    assert drawn[[0, 2]].isfinite().all()


def test_a_sampler_that_chooses_its_steps_is_refused_with_the_reason():
    def adaptive(x, denoise, levels, noise):
        return x

    words = r"plan is function, expected a Plan: pydiffcore\.trace.* adaptive .*pydiffcore\.direct"
    with pytest.raises(TypeError, match=words):
        pydiffcore.capture(denoiser(), adaptive, SHAPE)
    with pytest.raises(TypeError, match=words):
        pydiffcore.capture(denoiser(), plan(), SHAPE)(SEEDS, plan=adaptive)
    with pytest.raises(TypeError, match=r"plan is NoneType, expected a Plan: .*\)$"):
        pydiffcore.capture(denoiser(), None, SHAPE)


def test_graphs_must_be_kept():
    with pytest.raises(ValueError, match="graphs is 0"):
        pydiffcore.capture(denoiser(), plan(), SHAPE, graphs=0)


def test_a_runner_refuses_a_plan_of_another_layout():
    from pydiffcore.ops.renewable import RenewableRunner

    made = RenewableRunner(plan(), SHAPE, SEEDS)
    with pytest.raises(ValueError, match="plan has"):
        made.renew(plan=plan(n=4))
    with pytest.raises(ValueError, match="seeds has 2"):
        made.renew([1, 2])
    with pytest.raises(ValueError, match="without"):
        made.renew(guidance=np.ones(6))
