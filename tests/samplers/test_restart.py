# SPDX-License-Identifier: Apache-2.0
"""Restart: Heun's method down, noise up; what the repetitions are for."""

import numpy as np
import pytest
import torch
from scipy import stats

import pydiffcore
from pydiffcore import exact, levels, samplers

BASE = levels.karras(12, sigma_min=0.1, sigma_max=20.0, final_zero=False)


def test_without_rises_it_is_heun():
    a, b = (pydiffcore.trace(f, levels.karras(9)) for f in (samplers.restart, samplers.heun))
    assert np.array_equal(a.A, b.A)
    assert np.array_equal(a.B, b.B)
    assert a.draws == 0


def test_a_rise_adds_the_noise_between_its_levels():
    given = levels.explicit([4.0, 1.0, 3.0, 1.0, 0.0], rising=True)
    plan = pydiffcore.trace(samplers.restart, given, s_noise=0.5)
    assert plan.sigma.tolist() == [4.0, 1.0, 3.0, 1.0, 1.0]
    assert plan.interval.tolist() == [[1.0, 3.0]]
    assert plan.S[2, 0, 0] == pytest.approx(0.5 * np.sqrt(8.0))
    assert np.abs(pydiffcore.trace(samplers.restart, given).noise_ratio - 1).max() < 1e-13
    assert pydiffcore.trace(samplers.restart, given, s_noise=0.0).draws == 0


def test_other_samplers_say_who_takes_such_levels():
    with pytest.raises(ValueError, match="of the samplers, restart takes such levels"):
        pydiffcore.trace(samplers.heun, levels.restart(BASE, [(1, 0.5, 2.0, 3)]))


def test_repetitions_contract_errors():
    """Started with a deviation 30 % too large, the law comes nearer with each repetition.

    N = 20,000: the distance of two laws is found to 0.019.
    """
    data = exact.mixture([0.35, 0.65], [[-1.0], [0.8]], [0.25, 0.4])
    start, n = np.random.default_rng(0), 20_000
    x = 1.3 * (data.sample(n, start) + 20.0 * start.standard_normal((n, 1)))
    distances = []
    for repeats in (0, 1, 4):
        given = levels.restart(BASE, [(repeats, 0.1, 3.0, 12)])
        plan = pydiffcore.trace(samplers.restart, given)
        out = pydiffcore.sample(
            data, plan, shape=(1,), seeds=range(n), x=torch.as_tensor(x).float()
        )
        at = float(given.sigma[-1])
        law = stats.kstest(out.double().numpy().ravel(), lambda v, at=at: data.cdf(v, at))
        distances.append(law.statistic)
    assert distances[0] > 0.04
    assert distances[1] < distances[0] - 0.019
    assert distances[2] < 0.019
