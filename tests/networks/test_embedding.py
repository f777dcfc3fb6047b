# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from pydiffcore.networks.embedding import Fourier, Label, sinusoids
from pydiffcore.networks.magnitude import MPFourier


@pytest.mark.parametrize(("endpoint", "last"), [(True, 1e-4), (False, 1e-4 ** (3 / 4))])
def test_sinusoids_are_those_of_the_papers(endpoint, last):
    c = torch.tensor([0.0, 1.0, 37.5, 999.0])
    waves = sinusoids(c, 8, endpoint=endpoint)
    ladder = np.geomspace(1.0, last, 4)
    phase = c.numpy()[:, None] * ladder
    expected = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
    np.testing.assert_allclose(waves, expected, atol=1e-4)
    swapped = sinusoids(c, 8, endpoint=endpoint, sine=True)
    assert torch.equal(swapped, waves.roll(4, 1))


def test_sinusoids_of_16_bits_are_float32():
    c = torch.tensor([999.0], dtype=torch.bfloat16)
    assert sinusoids(c, 8).dtype == torch.float32


@pytest.mark.parametrize("module", [Fourier(64, 16.0), MPFourier(64)], ids=["Fourier", "MP"])
def test_frequencies_survive_16_bits(module):
    c = torch.randn(5)
    before, state = module(c), {k: v.clone() for k, v in module.state_dict().items()}
    module.to(torch.bfloat16)
    assert torch.equal(module(c), before)
    assert module(c).dtype == torch.float32
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())
    assert all(b.device.type == "meta" for b in module.to("meta").buffers())


def test_fourier_is_of_the_formula():
    module, c = Fourier(6, 16.0), torch.randn(3)
    phase = 2 * np.pi * c.numpy()[:, None] * module.frequencies.numpy()
    expected = np.concatenate([np.sin(phase), np.cos(phase)], axis=1)
    np.testing.assert_allclose(module(c), expected, atol=1e-4)


def test_the_label_behind_the_last_is_zero_and_gets_no_gradient():
    label = Label(3, 4)
    label(torch.tensor([0, 3])).sum().backward()
    assert torch.count_nonzero(label.weight[3]) == 0
    assert label.weight.grad.abs().sum(1).tolist() == [4, 0, 0, 0]
