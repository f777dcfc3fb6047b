# SPDX-License-Identifier: Apache-2.0
"""Every preset's cell fits together and trains."""

import dataclasses

import numpy as np
import pytest
import torch

from pydiffcore import networks, prediction, process, samplers
from pydiffcore.train import weights
from pydiffcore.train.loss import denoising_terms
from pydiffcore.train.presets import LOSSES, PRESETS
from pydiffcore.train.uncertainty import uncertainty_terms, variance_terms
from pydiffcore.train.variational import hybrid_terms, vlb_terms

NAMES = ("ddpm", "iddpm", "ncsn", "ncsnpp-ve", "ddpmpp-vp", "subvp", "edm", "edm2", "flow")
X0 = torch.rand(8, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
SEEDS = range(8)


def terms_of(cell, network, sigma):
    given = (network, X0, sigma, cell.prediction)
    if cell.loss == "denoising":
        return denoising_terms(*given, seeds=SEEDS, weight=cell.weight)
    if cell.loss == "uncertainty":
        return uncertainty_terms(*given, lambda c: 0.1 * c, seeds=SEEDS, weight=cell.weight)
    if cell.loss == "variance":
        return variance_terms(*given, seeds=SEEDS)
    if cell.loss == "hybrid":
        return hybrid_terms(*given, cell.process, seeds=SEEDS, weight=cell.weight)
    return vlb_terms(*given, cell.process, seeds=SEEDS)


def test_names():
    assert tuple(PRESETS) == NAMES
    with pytest.raises(TypeError):
        PRESETS["edm"] = None


@pytest.mark.parametrize("name", NAMES)
def test_fields_name_what_exists(name):
    cell = PRESETS[name]
    assert callable(getattr(samplers, cell.sampler))
    assert cell.network in networks.NETWORKS
    assert cell.loss in LOSSES
    assert cell.learned_variance == (name == "iddpm")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_of_a_cell_has_a_gradient(name, loss):
    cell = PRESETS[name]
    if loss in ("hybrid", "vlb") and cell.process.size is None:
        with pytest.raises(ValueError, match=f"expected one with a table for loss '{loss}'"):
            dataclasses.replace(cell, loss=loss)
        return
    cell = dataclasses.replace(cell, loss=loss)
    scale = torch.full((), 0.3, requires_grad=True)

    def network(x, c_noise):
        assert torch.isfinite(c_noise).all()
        return torch.cat([scale * x] * (1 + cell.learned_variance), dim=1)

    terms = terms_of(cell, network, cell.law.sample(SEEDS))
    assert terms.shape == (8,)
    terms.mean().backward()
    assert torch.isfinite(scale.grad)
    assert scale.grad != 0


@pytest.mark.parametrize("name", NAMES)
def test_the_weight_is_one_on_what_the_network_returns(name):
    """Each of these papers trains its own output with equal weight at all levels."""
    cell = PRESETS[name]
    sigma = cell.law.sample(range(50))
    found = weights.on_output(cell.weight, cell.prediction, sigma)
    np.testing.assert_allclose(found, 1, rtol=1e-12)


def test_labels_of_the_tables_are_their_indices():
    for name in ("ddpm", "iddpm"):
        cell = PRESETS[name]
        label = cell.prediction.coefficients(cell.law.levels)[3]
        np.testing.assert_allclose(label, np.arange(1000), atol=1e-6)


def test_levels_lie_in_the_range_of_their_process():
    for name, cell in PRESETS.items():
        ends = cell.process.level(np.array([cell.process.t_min, cell.process.t_max]))
        sigma = cell.law.quantile(np.array([0.05, 0.95]))
        assert ends[0] <= sigma[0] < sigma[1] <= ends[1], name


def test_a_field_can_be_replaced_and_a_wrong_loss_is_named():
    cell = dataclasses.replace(PRESETS["edm"], weight=weights.soft_min_snr())
    assert cell != PRESETS["edm"]
    assert dataclasses.replace(cell, weight=weights.edm()) == PRESETS["edm"]
    with pytest.raises(ValueError, match="loss is 'l2', expected one of denoising"):
        dataclasses.replace(cell, loss="l2")
    assert prediction.ve() == PRESETS["ncsn"].prediction
    assert process.ve() == PRESETS["ncsn"].process
