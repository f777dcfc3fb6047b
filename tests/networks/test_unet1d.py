# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from networks.cases import alive, inputs


@pytest.mark.parametrize("length", [2, 8, 16])
def test_any_even_length(length):
    network = alive("unet1d")
    x, c_noise, observation = inputs(network)
    x = torch.randn(len(x), length, 3)
    assert network(x, c_noise, observation).shape == x.shape


def test_a_shift_in_time_is_a_shift_of_the_output_away_from_the_ends():
    """Convolutions know no time, but norms see the whole: shift a pulse within zeros."""
    network = alive("unet1d")
    _, c_noise, observation = inputs(network, 1)
    x = torch.zeros(1, 512, 3)
    x[:, 256] = 1
    F = network(x, c_noise, observation)
    G = network(x.roll(2, dims=1), c_noise, observation)
    torch.testing.assert_close(G[:, 128:384], F.roll(2, dims=1)[:, 128:384], rtol=1e-3, atol=1e-4)


def test_wrong_observations_are_named():
    network = alive("unet1d")
    x, c_noise, observation = inputs(network)
    with pytest.raises(ValueError, match="observation is None"):
        network(x, c_noise)
    for wrong in (observation[:1], observation[:, :2], observation[0]):
        with pytest.raises(ValueError, match="observation has shape"):
            network(x, c_noise, wrong)
    with pytest.raises(ValueError, match=r"observation has shape .* has none"):
        alive("unet1d, alone")(torch.zeros(4, 8, 3), c_noise, observation)
