# SPDX-License-Identifier: Apache-2.0
"""Augmentation: nothing at p = 0, the paper's statistics else, and no bit from a neighbour."""

import math

import numpy as np
import pytest
import torch
from data_files import pixels

from pydiffcore.data import Augmentation, dropped, mirrored
from pydiffcore.data.augment import conditioning

SEEDS = range(100, 164)


def images(count=64, height=8, width=8):
    return torch.from_numpy(pixels(0, count, 3, height, width))


def smooth(side=32):
    """One image of a few slow waves, which resampling keeps."""
    x = torch.linspace(0, 1, side)
    waves = torch.sin(2 * math.pi * x)[:, None] * 60 + torch.cos(2 * math.pi * x)[None] * 50 + 128
    return waves.round().to(torch.uint8)[None, None]


def only(**values):
    """Parameters a0 … a7 of one image, 0 but for those given."""
    return np.array([[values.get(f"a{i}", 0.0) for i in range(8)]])


def test_identity():
    x0, told = Augmentation(p=0.0)(images(), SEEDS)
    assert torch.equal(x0, images().float() / 127.5 - 1)
    assert told.shape == (64, 9)
    assert not told.any()
    assert x0.dtype == told.dtype == torch.float32


def test_nothing_in_force_keeps_every_bit():
    """At p = 0.12 about half of the images are mirrored at most: they keep their pixels."""
    augment = Augmentation()
    a = augment.parameters(SEEDS)
    x0, told = augment(images(), SEEDS)
    plain = images().float() / 127.5 - 1
    still = ~(a[:, 1:] != 0).any(axis=1)
    assert 15 < still.sum() < 55
    for place in np.flatnonzero(still):
        expected = plain[place].flip(-1) if a[place, 0] else plain[place]
        assert torch.equal(x0[place], expected)
        assert told[place, 0] == a[place, 0]
        assert not told[place, 1:].any()
    moved = np.flatnonzero((a[:, [2, 3, 5, 6, 7]] != 0).any(axis=1))
    assert not any(torch.equal(x0[place], plain[place]) for place in moved)


def test_a_sample_is_a_function_of_its_seed():
    """Alone, in a batch, in another order: the same bits."""
    augment, pictures = Augmentation(p=0.5), images(height=9, width=12)
    x0, told = augment(pictures, SEEDS)
    assert torch.equal(x0, augment(pictures, SEEDS)[0])
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    again, told_again = augment(pictures[order], [SEEDS[i] for i in order])
    assert torch.equal(again, x0[order])
    assert torch.equal(told_again, told[order])
    for place in range(0, 64, 7):
        alone, _ = augment(pictures[place : place + 1], [SEEDS[place]])
        assert torch.equal(alone[0], x0[place])
    assert not torch.equal(augment(pictures, range(64))[0], x0)


@pytest.mark.parametrize("which", ["a0", "a1"])
def test_mirrorings_are_their_own_inverses(which):
    augment, pictures = Augmentation(), images()
    a = np.repeat(only(**{which: 1.0}), 64, axis=0)
    once = augment.transformed(pictures, a)
    back = ((once + 1) * 127.5).round().to(torch.uint8)
    assert not torch.equal(once, pictures.float() / 127.5 - 1)
    assert torch.equal(augment.transformed(back, a), pictures.float() / 127.5 - 1)


def test_transformations_by_known_amounts():
    """Quarter turns, whole-pixel shifts and factors of two, against indexing."""
    augment = Augmentation(scale=2.0, stretch=2.0, shift=0.125)
    image = smooth()
    x = image.float() / 127.5 - 1

    def close(a, expected, inner=4):
        found = augment.transformed(image, a)[0, 0, inner:-inner, inner:-inner]
        assert (found - expected[inner:-inner, inner:-inner]).abs().max() < 0.03

    plane = x[0, 0]
    # a3 rotates by −a3; with y pointing down, −90° turns right to top: a quarter anticlockwise.
    close(only(a3=math.pi / 2), plane.rot90(1))
    close(only(a3=-math.pi / 2), plane.rot90(-1))
    close(only(a3=math.pi - 1e-9), plane.rot90(2))
    close(only(a6=1.0), plane.roll(4, 1), inner=6)  # an eighth of 32 pixels to the right
    close(only(a7=-1.0), plane.roll(-4, 0), inner=6)
    coarse = x[0, 0, 8:24, 8:24]
    fine = torch.nn.functional.interpolate(coarse[None, None], scale_factor=2, mode="bicubic")[0, 0]
    close(only(a2=1.0), fine)
    # stretched along x by 2, across by 1/2: the column at the centre runs twice as fast
    stretched = augment.transformed(image, only(a4=0.0, a5=1.0))[0, 0]
    along = torch.nn.functional.interpolate(plane[None, 15:17, 8:24], scale_factor=2)[0].mean(0)
    assert (stretched[15:17].mean(0)[4:-4] - along[4:-4]).abs().max() < 0.1
    turned = augment.transformed(image, only(a4=math.pi / 2, a5=-1.0))[0, 0]
    assert (turned - stretched).abs().max() < 1e-5  # along y by 1/2 is along x by 2


def test_order_of_transformations():
    """The first line of the table acts first: a mirrored image is shifted, not the reverse."""
    augment, image = Augmentation(), smooth()
    both = augment.transformed(image, only(a0=1.0, a6=1.0))
    mirrored_first = augment.transformed(image.flip(-1), only(a6=1.0))
    assert torch.equal(both, mirrored_first)
    assert not torch.equal(both, augment.transformed(image, only(a6=1.0)).flip(-1))


def test_beyond_the_border_is_a_mirror():
    """A constant image stays one whatever happens to it; values stay in [−1, 1]."""
    constant = torch.full((64, 1, 16, 16), 200, dtype=torch.uint8)
    x0, _ = Augmentation(p=1.0)(constant, SEEDS)
    assert (x0 - (200 / 127.5 - 1)).abs().max() < 1e-5
    x0, _ = Augmentation(p=1.0)(images(), SEEDS)
    assert x0.min() >= -1
    assert x0.max() <= 1


def test_conditioning():
    a = Augmentation(p=0.7).parameters(range(500))
    told = conditioning(a)
    assert told.shape == (500, 9)
    assert not conditioning(only()).any()
    assert np.allclose((told[:, 3] + 1) ** 2 + told[:, 4] ** 2, 1)
    assert np.allclose(told[:, 5] ** 2 + told[:, 6] ** 2, a[:, 5] ** 2)
    assert np.array_equal(told[:, [0, 1, 2, 7, 8]], a[:, [0, 1, 2, 6, 7]])


def test_statistics():
    """Shares within 5 standard deviations, and the laws of the sizes, over 40,000 seeds."""
    count, p = 40000, 0.12
    a = Augmentation(p=p).parameters(range(count))

    def share(what, expected):
        assert abs(what.mean() - expected) < 5 * math.sqrt(expected * (1 - expected) / count)

    share(a[:, 0] == 1, 0.5)
    share(a[:, 1] == 1, p / 2)
    for column in (2, 3, 4, 5, 6, 7):
        share(a[:, column] != 0, p)
    assert np.array_equal(a[:, 4] != 0, a[:, 5] != 0)
    assert np.array_equal(a[:, 6] != 0, a[:, 7] != 0)
    share((a[:, 2] != 0) & (a[:, 3] != 0), p * p)
    for column in (2, 5, 6, 7):
        z = a[a[:, column] != 0, column]
        assert abs(z.mean()) < 5 / math.sqrt(len(z))
        assert abs(z.var() - 1) < 5 * math.sqrt(2 / len(z))
    for column in (3, 4):
        u = a[a[:, column] != 0, column] / math.pi
        assert abs(u).max() < 1
        assert abs(u.mean()) < 5 / math.sqrt(3 * len(u))
        assert abs((u**2).mean() - 1 / 3) < 5 * math.sqrt(4 / 45 / len(u))
    moved = a[(a[:, 2] != 0) & (a[:, 6] != 0)]
    assert abs(np.corrcoef(moved[:, 2], moved[:, 6])[0, 1]) < 5 / math.sqrt(len(moved))


def test_mirrored():
    pictures = images(4000, 2, 3)
    found = mirrored(pictures, range(4000))
    assert found.dtype == torch.uint8
    which = (found != pictures).flatten(1).any(1)
    assert torch.equal(found[which], pictures[which].flip(-1))
    assert abs(which.double().mean() - 0.5) < 5 * 0.5 / math.sqrt(4000) + 0.01
    assert torch.equal(mirrored(found, range(4000)), pictures)
    assert torch.equal(mirrored(pictures[7:9], [7, 8]), found[7:9])


def test_dropped_labels():
    labels = torch.arange(20000) % 10
    found = dropped(labels, range(20000), 0.1, 10)
    assert abs((found == 10).double().mean() - 0.1) < 5 * math.sqrt(0.09 / 20000)
    assert torch.equal(found[found != 10], labels[found != 10])
    assert torch.equal(dropped(labels[5:9], range(5, 9), 0.1, 10), found[5:9])
    assert torch.equal(dropped(labels, range(20000), 0.0, 10), labels)
    assert (dropped(labels, range(20000), 1.0, 10) == 10).all()
    with pytest.raises(ValueError, match="share is 2"):
        dropped(labels, range(20000), 2, 10)


def test_dropped_labels_are_those_of_the_digits_training():
    """The same samples lose their labels as in the loop that has always dropped them."""
    from pydiffcore.ops.noise import AUGMENTATION, normal

    seeds = range(3 << 40, (3 << 40) + 512)
    chance = torch.special.ndtr(normal(seeds, (), purpose=AUGMENTATION).double())
    labels = torch.arange(512) % 10
    expected = labels.clone()
    expected[chance < 0.1] = 10
    assert torch.equal(dropped(labels, seeds, 0.1, 10), expected)


@pytest.mark.parametrize(
    "options",
    [{"p": -0.1}, {"p": 1.1}, {"mirror": 2}, {"scale": 0.0}, {"stretch": math.inf}, {"shift": -1}],
)
def test_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
        Augmentation(**options)


def test_seeds_of_another_number():
    with pytest.raises(ValueError, match="64 and 3 entries"):
        Augmentation()(images(), [1, 2, 3])
