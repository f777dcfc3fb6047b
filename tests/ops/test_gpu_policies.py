# SPDX-License-Identifier: Apache-2.0
"""Policies on a CUDA device: each observation is a replay of what the first one recorded."""

import pytest
import torch
from gpu_cases import MARKS
from policies import ACTIONS, chunks, made

import pydiffcore
from pydiffcore.ops import graph

pytestmark = MARKS


@pytest.mark.parametrize("chunk", chunks(), ids=["ddpm", "ddim", "flow"])
@pytest.mark.parametrize("network", ["unet", "transformer"])
@torch.no_grad()
def test_a_policy_takes_new_observations_without_a_recording(monkeypatch, chunk, network):
    records, record = [], graph.record
    monkeypatch.setattr(graph, "record", lambda *each: records.append(1) or record(*each))
    body, means, plan, size = made(network, chunk)
    body = body.cuda()
    first = {"observation": torch.zeros(1, size, device="cuda")}
    draw = pydiffcore.capture(pydiffcore.Denoiser(body, means, first), plan, ACTIONS, device="cuda")
    for seed, observation in enumerate(torch.randn(4, 1, size)):  # on the host, as a camera's
        seen = {"observation": observation.cuda()}
        eager = pydiffcore.sample(
            pydiffcore.Denoiser(body, means, seen), plan, shape=ACTIONS, seeds=[seed], device="cuda"
        )
        action = draw([seed], condition={"observation": observation})
        torch.testing.assert_close(action, eager, rtol=1e-3, atol=1e-3)
    assert (draw.kind, draw.reason, len(records)) == ("graph", "", 1)
