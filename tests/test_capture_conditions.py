# SPDX-License-Identifier: Apache-2.0
"""A captured loop takes new conditions, such as a policy's observations, without a recording."""

import pytest
import torch
from recording import SEEDS, SHAPE, VP, drawn, equal, plan

import pydiffcore
from benchmarks.policy import policy
from pydiffcore import levels, prediction, process, samplers


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


class Attending(torch.nn.Module):
    """A small transformer over the actions of a chunk, told of time and observation."""

    def __init__(self):
        super().__init__()
        self.enter, self.leave = torch.nn.Linear(7, 16), torch.nn.Linear(16, 7)
        self.told = torch.nn.Linear(9, 16)
        layer = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.layers = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x, t, observation):
        told = self.told(torch.cat([observation, t[:, None]], dim=1))
        return self.leave(self.layers(self.enter(x) + told[:, None]))


def chunks():
    """(sampler, levels, prediction, plan's options) of the policies in use."""
    cosine, flow = process.discrete(process.cosine_betas(100)), process.flow()
    steps = levels.trailing(8, cosine)
    clipped = {"clip": (-1, 1), "scaling": cosine}
    return [
        (samplers.ddpm, steps, prediction.eps(cosine), clipped),
        (samplers.ddim, steps, prediction.eps(cosine), clipped),
        (
            samplers.euler,
            levels.uniform_t(8, flow, t_min=0.1, t_max=0.99),
            prediction.velocity(flow),
            {"scaling": flow},
        ),
    ]


@pytest.mark.parametrize("chunk", chunks(), ids=["ddpm", "ddim", "flow"])
@pytest.mark.parametrize("network", ["unet", "transformer"])
@torch.no_grad()
def test_a_policy_takes_new_observations_without_a_recording(recorded, chunk, network):
    torch.manual_seed(0)
    size = 64 if network == "unet" else 8
    body = policy([8, 16]) if network == "unet" else Attending().eval()
    sampler, steps, means, options = chunk
    plan = pydiffcore.trace(sampler, steps, means, **options)
    seen = torch.randn(5, 1, size)
    draw = pydiffcore.capture(
        pydiffcore.Denoiser(body, means, {"observation": torch.zeros(1, size)}), plan, (16, 7)
    )
    for seed, observation in enumerate(seen):
        model = pydiffcore.Denoiser(body, means, {"observation": observation})
        expected = pydiffcore.sample(model, plan, shape=(16, 7), seeds=[seed])
        assert equal(draw([seed], condition={"observation": observation}), expected)
    assert (len(recorded), draw.kind) == (1, "graph")
