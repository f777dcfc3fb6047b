# SPDX-License-Identifier: Apache-2.0
"""The plans of the papers' own samplers."""

import dataclasses

import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import Denoiser
from pydiffcore.train.native import CHOICES, native_plan
from pydiffcore.train.presets import PRESETS

CALLS = {
    "ddpm": 1000, "iddpm": 1000, "ncsn": 232 * 5 + 1, "ncsnpp-ve": 2000, "ddpmpp-vp": 1000,
    "subvp": 1000, "edm": 35, "edm2": 63, "flow": 100,
}  # fmt: skip
FEW = {"ddpm": 7, "iddpm": 7, "ncsn": 36, "ncsnpp-ve": 14, "ddpmpp-vp": 7, "subvp": 7,
       "edm": 13, "edm2": 13, "flow": 7}  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_network_calls(name):
    cell = PRESETS[name]
    assert native_plan(cell).nfe == CALLS[name]
    assert native_plan(cell, 7).nfe == FEW[name]


@pytest.mark.parametrize("name", PRESETS)
def test_levels_span_the_training_law(name):
    cell = PRESETS[name]
    sigma = CHOICES[cell.sampler](cell, 20)[0].sigma
    positive = sigma[sigma > 0]
    reached = cell.law.cdf(np.array([positive.min(), positive.max()]))
    assert reached[0] <= 0.02
    assert reached[1] >= 0.98


def drawn_of(cell, value, shape):
    """Draw with a network that always says D = value; Euler–Maruyama needs many steps for that."""
    n = 1000 if cell.sampler == "euler_maruyama" else 40
    plan = native_plan(dataclasses.replace(cell, loss="denoising"), n, bounds=(-1.0, 1.0))
    plan = plan.bind(pydiffcore.prediction.denoised())

    def point(x, sigma):
        return torch.full_like(x, value)

    return pydiffcore.sample(point, plan, shape=shape, seeds=range(8), dtype=torch.float64)


@pytest.mark.parametrize("name", PRESETS)
def test_a_perfect_denoiser_gives_the_data(name):
    cell = PRESETS[name]
    drawn = drawn_of(cell, 0.3, (4,))
    left = 0.03 if cell.sampler == "euler_maruyama" else 1e-9  # three times VP's level at t = 1e-3
    torch.testing.assert_close(drawn, torch.full_like(drawn, 0.3), rtol=0, atol=left)


@pytest.mark.parametrize(("name", "seen"), [("ddpm", 1.0), ("iddpm", 1.0), ("edm", 5.0)])
def test_ddpm_alone_clips(name, seen):
    drawn = drawn_of(PRESETS[name], 5.0, (2,))
    torch.testing.assert_close(drawn, torch.full_like(drawn, seen))


def test_iddpm_draws_with_its_learned_variance():
    cell = PRESETS["iddpm"]

    def network(x, c_noise):
        return torch.cat([x, torch.zeros_like(x)], 1)

    model = Denoiser(network, cell.prediction, learned_variance=True)
    drawn = pydiffcore.sample(model, native_plan(cell, 5), shape=(1, 2, 2), seeds=[0, 1])
    assert drawn.isfinite().all()


def test_the_log_variance_of_a_likelihood_is_no_interpolation():
    """Loss "variance" learns ln Var[F], whose values the chain must not see."""
    cell = dataclasses.replace(PRESETS["ddpm"], loss="variance")
    drawn = []
    for v in (-8.0, 0.0, 3.0):

        def network(x, c_noise, v=v):
            return torch.cat([0.1 * x, torch.full_like(x, v)], 1)

        model = Denoiser(network, cell.prediction, learned_variance=cell.learned_variance)
        drawn.append(pydiffcore.sample(model, native_plan(cell, 5), shape=(1, 2, 2), seeds=[0, 1]))
    assert drawn[0].isfinite().all()
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


def test_refusals():
    edm = PRESETS["edm"]
    with pytest.raises(ValueError, match=r"cell\.sampler is 'rk4', expected one of ddpm"):
        native_plan(dataclasses.replace(edm, sampler="rk4"))
    with pytest.raises(ValueError, match="expected a process with a table"):
        native_plan(dataclasses.replace(edm, sampler="ddpm"))
    with pytest.raises(ValueError, match="expected a law of discrete levels"):
        native_plan(dataclasses.replace(edm, sampler="langevin"))
    with pytest.raises(ValueError, match="1000 steps, got 1001"):
        native_plan(PRESETS["ddpm"], 1001)
