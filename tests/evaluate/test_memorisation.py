# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pydiffcore.evaluate import memorisation, nearest


def points(*values):
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)


def test_nearest_by_hand():
    training = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    images = torch.tensor([[3.0, 3.0], [-6.0, -8.0], [0.0, 0.0]])
    assert nearest(images, training).tolist() == [1.0, 10.0, 0.0]


def test_near_zero_distances_are_exact():
    training = 100 + torch.rand(50, 64, generator=torch.Generator().manual_seed(0))
    assert float(nearest(training, training).max()) == 0


def test_figures_by_hand():
    training = points(0)
    held_out = points(*range(1, 102))  # distances 1 … 101: median 51, 1 % quantile 2
    near = memorisation(points(1.9, 2.1, 51, 60), training, held_out)
    assert near.median_real == 51
    assert near.quantile_real == pytest.approx(2)
    assert near.share_near == 0.25
    assert near.median == pytest.approx(2.1)
    assert near.ratio == pytest.approx(2.1 / 51)


def test_copies_are_found():
    generator = torch.Generator().manual_seed(0)
    training, held_out = torch.rand(2, 200, 1, 4, 4, generator=generator)
    near = memorisation(training, training, held_out)
    assert (near.ratio, near.share_near) == (0, 1)


def test_new_images_are_not():
    generator = torch.Generator().manual_seed(0)
    training, held_out, samples = torch.rand(3, 2000, 1, 4, 4, generator=generator)
    near = memorisation(samples, training, held_out)
    assert near.ratio == pytest.approx(1, abs=0.05)
    assert near.share_near < 0.02


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="images and training have shapes"):
        nearest(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="with M > 0"):
        nearest(torch.zeros(2, 3), torch.zeros(0, 3))
    with pytest.raises(ValueError, match="0 samples"):
        memorisation(torch.zeros(0, 3), torch.zeros(1, 3), torch.zeros(1, 3))
