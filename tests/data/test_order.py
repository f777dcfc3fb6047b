# SPDX-License-Identifier: Apache-2.0
"""The order: permutations, all alike frequent, the same from anywhere and for any ranks."""

import math
from collections import Counter

import numpy as np
import pytest

from pydiffcore.data import Order
from pydiffcore.data.order import part


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 17, 100, 101, 800, 1297])
@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_every_epoch_is_a_permutation(size, seed):
    orders = Order(size, seed).places(np.arange(5 * size)).reshape(5, size)
    assert (np.sort(orders, axis=1) == np.arange(size)).all()
    if size >= 100:
        assert len({tuple(order) for order in orders}) == 5


def test_pure_function_of_the_number():
    order = Order(37, 5)
    everything = order.places(range(1000))
    numbers = np.random.default_rng(0).permutation(1000)
    assert np.array_equal(order.places(numbers), everything[numbers])
    assert [int(order.places([n])[0]) for n in range(50)] == everything[:50].tolist()
    assert order.places([]).shape == (0,)


def test_known_places():
    """The format: changing one is a breaking change."""
    assert Order(10, 0).places(range(20)).tolist() == [
        7,
        9,
        8,
        0,
        2,
        5,
        3,
        4,
        1,
        6,
        4,
        3,
        1,
        8,
        9,
        6,
        5,
        2,
        7,
        0,
    ]
    assert Order(10**9, 2**63 + 1).places([0, 1, 10**9, 10**15]).tolist() == [
        707070658,
        870464900,
        208383633,
        991864514,
    ]


def test_seeds_and_epochs_differ():
    size = 1000
    orders = [Order(size, seed).places(range(2 * size)) for seed in (0, 1, 2**32, 2**63)]
    rows = [half for order in orders for half in (order[:size], order[size:])]
    for i, one in enumerate(rows):
        for other in rows[:i]:
            assert (one == other).sum() < 12  # Poisson of mean 1


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_all_orders_are_equally_frequent(size):
    """chi² of all size! orders over 20,000 epochs, within 5 standard deviations."""
    epochs = 20000
    orders = Order(size, 1).places(np.arange(size * epochs)).reshape(epochs, size)
    counts = Counter(map(tuple, orders.tolist()))
    expected = epochs / math.factorial(size)
    assert len(counts) == math.factorial(size)
    chi2 = sum((count - expected) ** 2 / expected for count in counts.values())
    dof = math.factorial(size) - 1
    assert abs(chi2 - dof) < 5 * math.sqrt(2 * dof) + 3


def test_places_and_neighbours_are_uniform():
    """Where an image comes to stand, and the step to the next one, are uniform: chi² as above."""
    size, epochs = 101, 400
    orders = Order(size, 2).places(np.arange(size * epochs)).reshape(epochs, size)
    table = np.zeros((size, size))
    np.add.at(table, (np.tile(np.arange(size), epochs), orders.ravel()), 1)
    steps = np.bincount((np.diff(orders, axis=1) % size).ravel(), minlength=size)[1:]
    for counts in (table.ravel(), steps):
        expected = counts.sum() / counts.size
        chi2 = ((counts - expected) ** 2 / expected).sum()
        assert abs(chi2 - counts.size) < 5 * math.sqrt(2 * counts.size)


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_ranks_share_a_batch(ranks):
    parts = [part(60, 12, rank, ranks) for rank in range(ranks)]
    assert [number for numbers in parts for number in numbers] == list(range(60, 72))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_large_sets_cost_nothing():
    """No table: a permutation of 10^15 places is asked for here and there."""
    size = 10**15
    places = Order(size, 3).places(np.arange(7, size, size // 999))
    assert len(set(places.tolist())) == len(places)
    assert abs(places.mean() / size - 0.5) < 0.05


@pytest.mark.parametrize(
    ("arguments", "message"), [((0,), "size is 0"), ((3, -1), "seed is -1"), ((3, 2**64), "seed")]
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Order(*arguments)


def test_negative_numbers_and_wrong_ranks():
    with pytest.raises(ValueError, match="holds -1"):
        Order(3).places([-1])
    for rank, ranks in ((-1, 2), (2, 2), (0, 0)):
        with pytest.raises(ValueError, match="rank is"):
            part(0, 4, rank, ranks)
