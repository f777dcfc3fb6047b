# SPDX-License-Identifier: Apache-2.0
"""Small policies and the samplers that they are used with."""

import torch

import pydiffcore
from benchmarks.policy import policy
from pydiffcore import levels, prediction, process, samplers

ACTIONS = (16, 7)  # of a chunk


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


def made(network, chunk):
    """(network, what it predicts, plan, numbers of an observation); a network is named."""
    torch.manual_seed(0)
    sampler, steps, means, options = chunk
    plan = pydiffcore.trace(sampler, steps, means, **options)
    if network == "unet":
        return policy([8, 16]), means, plan, 64
    return Attending().eval(), means, plan, 8
