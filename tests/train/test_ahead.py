# SPDX-License-Identifier: Apache-2.0
"""Levels drawn ahead are those that each step would draw by itself."""

import numpy as np
import pytest

from pydiffcore import prediction
from pydiffcore.ops.corruption import coefficients_of
from pydiffcore.ops.noise import seed_keys
from pydiffcore.train import ahead, laws
from pydiffcore.train.ahead import Ahead

BASE, PREDICTION = 5 << 40, prediction.edm()


def expected(law, numbers, start, batch):
    seeds = seed_keys(range(BASE + numbers.start, BASE + numbers.stop))
    sigma = law.sample(seeds, of=(numbers.start - start, batch))
    return seeds, coefficients_of(np.asarray(sigma), PREDICTION)


def same(found, wanted):
    assert np.array_equal(found[0], wanted[0])
    for name in ("sigma", "columns", "c_noise", "c_out"):
        assert np.array_equal(getattr(found[1], name), getattr(wanted[1], name)), name


@pytest.mark.parametrize("law", [laws.lognormal(), laws.uniform_flow(), laws.v_diffusion()],
                         ids=lambda law: law.name)  # fmt: skip
@pytest.mark.parametrize("drawn", [1, 100, 2**14])
def test_bits_of_a_step_by_itself(monkeypatch, law, drawn):
    monkeypatch.setattr(ahead, "DRAWN", drawn)
    batch, levels = 24, Ahead(law, PREDICTION, BASE, 24)
    for step in (*range(9), 800, 3, 4):  # on, far ahead, back
        start = step * batch
        for low, high in ((0, 12), (12, 24), (5, 24)):  # parts of ranks and of accumulation
            numbers = range(start + low, start + high)
            same(levels.of(numbers, start), expected(law, numbers, start, batch))


def test_batches_that_begin_between_two_others():
    levels, law = Ahead(laws.lognormal(), PREDICTION, BASE, 10), laws.lognormal()
    for start in (0, 10, 14, 24, 7, 17):
        numbers = range(start, start + 10)
        same(levels.of(numbers, start), expected(law, numbers, start, 10))


def test_without_a_law_there_are_seeds_alone():
    levels = Ahead(None, PREDICTION, BASE, 4)
    for start in (0, 4, 400):
        seeds, drawn = levels.of(range(start, start + 4), start)
        assert seeds.tolist() == [BASE + start + k for k in range(4)]
        assert drawn is None
