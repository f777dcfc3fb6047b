# SPDX-License-Identifier: Apache-2.0
"""A captured loop takes new conditions, such as a policy's observations, without a recording."""

import pytest
import torch
from policies import ACTIONS, chunks, made
from recording import SEEDS, SHAPE, VP, drawn, equal, plan

import pydiffcore
from pydiffcore import prediction


def test_tensors_inside_a_condition_are_new_at_each_call(recorded):
    def seeing(x, c_noise, *, observation):
        return 0.3 * x + observation["image"].mean() + observation["more"][1]

    def observed(value):
        image = torch.zeros(60, 60)
        image[30, 30] = value  # which no print of it shows
        return {"observation": {"image": image, "more": [2, torch.tensor(value)]}}

    model = pydiffcore.Denoiser(seeing, prediction.eps(VP), observed(0.0))
    draw = pydiffcore.capture(model, plan(), SHAPE)
    for value in (0.0, 1.0, 5.0):
        given = observed(value)
        expected = drawn(pydiffcore.Denoiser(seeing, prediction.eps(VP), given), plan())
        assert equal(draw(SEEDS, condition=given), expected)
    assert len(recorded) == 1


@pytest.mark.parametrize("chunk", chunks(), ids=["ddpm", "ddim", "flow"])
@pytest.mark.parametrize("network", ["unet", "transformer"])
@torch.no_grad()
def test_a_policy_takes_new_observations_without_a_recording(recorded, chunk, network):
    body, means, plan, size = made(network, chunk)
    seen = torch.randn(5, 1, size)
    draw = pydiffcore.capture(
        pydiffcore.Denoiser(body, means, {"observation": torch.zeros(1, size)}), plan, ACTIONS
    )
    for seed, observation in enumerate(seen):
        model = pydiffcore.Denoiser(body, means, {"observation": observation})
        expected = pydiffcore.sample(model, plan, shape=ACTIONS, seeds=[seed])
        assert equal(draw([seed], condition={"observation": observation}), expected)
    assert (len(recorded), draw.kind) == (1, "graph")
