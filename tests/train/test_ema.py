# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from pydiffcore.train import ema_copy, ema_update


def test_half_life():
    network = nn.Linear(1, 1)
    ema = ema_copy(network)
    start = ema.weight.clone()
    with torch.no_grad():
        network.weight.add_(8)
    for _ in range(30):
        ema_update(ema, network, 10**6, half_life=10)
    torch.testing.assert_close(ema.weight, start + 8 * (1 - 0.5**3))


def test_ramp_forgets_the_first_weights():
    network = nn.Linear(1, 1)
    ema = ema_copy(network)
    with torch.no_grad():
        network.weight.add_(1)
    first = network.weight - 1
    for step in range(1, 101):
        ema_update(ema, network, step, half_life=1e9, ramp=0.05)
    # The product of all 2^(−1/(0.05 step)): nothing of the start is left.
    assert float(((network.weight - ema.weight) / (network.weight - first)).detach()) < 1e-9


def test_copy_is_apart_and_has_no_gradient():
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    ema = ema_copy(network)
    assert not ema.training
    assert not any(p.requires_grad for p in ema.parameters())
    assert all(p.requires_grad for p in network.parameters())
    assert ema[0].weight.data_ptr() != network[0].weight.data_ptr()


def test_buffers_are_copied():
    network = nn.BatchNorm1d(2)
    ema = ema_copy(network)
    network.running_mean.fill_(3)
    ema_update(ema, network, 1, half_life=100)
    assert torch.equal(ema.running_mean, network.running_mean)


@pytest.mark.parametrize(("step", "half_life", "ramp"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_numbers_out_of_range(step, half_life, ramp):
    network = nn.Linear(1, 1)
    with pytest.raises(ValueError, match="expected positive"):
        ema_update(ema_copy(network), network, step, half_life=half_life, ramp=ramp)
