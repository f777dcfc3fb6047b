# SPDX-License-Identifier: Apache-2.0
"""The README's code runs, and what it links to is there."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import Denoiser, exact, levels, prediction, sample, samplers, trace

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def test_the_first_block_draws_images(capsys):
    scope = {}
    exec(BLOCKS[0], scope)
    assert scope["images"].shape == (16, 3, 32, 32)
    assert torch.isfinite(scope["images"]).all()
    assert "18 network calls" in capsys.readouterr().out


def test_the_second_block_draws_with_a_unet_of_timesteps():
    pytest.importorskip("diffusers")
    scope = {"torch": torch, "pdc": pydiffcore}
    exec(BLOCKS[1], scope)
    assert scope["images"].shape == (2, 3, 16, 16)
    assert torch.isfinite(scope["images"]).all()
    plan, table = scope["plan"], scope["table"]
    assert plan.c_noise.tolist() == list(range(999, 0, -20))
    assert torch.equal(labels_of(plan).round().long(), torch.arange(999, 0, -20))
    assert trace(samplers.ddim, levels.leading(50, table), scope["prediction"]).c_noise[-1] == 0


def labels_of(plan):
    return torch.as_tensor(np.array(plan.c_noise), dtype=torch.float32)


def test_a_float64_state_runs_a_float32_network_and_a_float32_one_bfloat16():
    network, kind = torch.nn.Linear(3, 3), prediction.edm()
    plan = trace(samplers.euler, levels.karras(3), kind)
    denoiser = Denoiser(lambda x, c: network(x), kind)
    kw = {"shape": (3,), "seeds": range(2)}
    wide = sample(denoiser, plan, dtype=torch.float64, io_dtype=torch.float32, **kw)
    assert wide.dtype == torch.float64
    network.bfloat16()
    assert sample(denoiser, plan, io_dtype=torch.bfloat16, **kw).dtype == torch.float32


def test_the_sampler_shown_is_heun():
    scope = {}
    exec(BLOCKS[2], scope)
    from pydiffcore.samplers import heun

    data = exact.gaussian([0.4], [0.5])
    x = torch.linspace(-80, 80, 5, dtype=torch.float64)[:, None]
    shown = scope["heun"](x, data, levels.karras(9), None)
    assert torch.allclose(shown, heun(x, data, levels.karras(9), None), rtol=1e-12)
    assert trace(scope["heun"], levels.karras(9)).registers == 2


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (ROOT / target.partition("#")[0]).exists(), target


def test_samplers_page_names_every_sampler_with_its_options():
    import pydiffcore.samplers as samplers

    page = (ROOT / "docs" / "samplers.md").read_text()
    listed = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", page, re.M))
    there = {n: v for n, v in vars(samplers).items() if callable(v) and not n.startswith("_")}
    assert sorted(listed) == sorted(there)
    for name, function in there.items():
        parameters = inspect.signature(function).parameters
        if "denoise" in parameters:
            options = [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY]
            assert re.findall(r"`(\w+)`", listed[name]) == options, name
    for code in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(code, {})
