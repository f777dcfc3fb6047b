# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from pydiffcore.networks.resample import BOX, FIR, Resample

FILTERS = pytest.mark.parametrize("taps", [BOX, FIR], ids=["box", "fir"])


def outer(taps):
    row = np.array(taps) / sum(taps)
    return np.outer(row, row)


@FILTERS
def test_halving_filters_and_keeps_every_second_pixel(taps):
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    small = Resample(-1, taps)(x)
    start = len(taps) // 2
    for i, j in np.ndindex(2, 3):
        full = convolve2d(x[i, j], outer(taps))
        expected = full[start::2, start::2][:4, :3]
        np.testing.assert_allclose(small[i, j], expected, atol=1e-7)


@FILTERS
def test_doubling_is_the_adjoint_of_halving_times_four(taps):
    x, y = torch.randn(2, 3, 8, 6), torch.randn(2, 3, 4, 3)
    left = (Resample(-1, taps)(x) * y).sum()
    right = (x * Resample(1, taps)(y)).sum() / 4
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


@FILTERS
@pytest.mark.parametrize("step", [-1, 0, 1])
def test_a_constant_stays_away_from_the_border(taps, step):
    y = Resample(step, taps)(torch.full((1, 2, 8, 8), 3.0))
    torch.testing.assert_close(y[..., 1:-1, 1:-1], torch.full_like(y[..., 1:-1, 1:-1], 3.0))
