# SPDX-License-Identifier: Apache-2.0
"""iPNDM on even and uneven levels: its last step, and where the code of its authors differs."""

import numpy as np
import pytest

import pydiffcore
from pydiffcore import levels, samplers


@pytest.mark.parametrize("sampler", [samplers.ipndm, samplers.ipndm_v, samplers.deis])
def test_a_step_to_zero_gives_the_last_prediction(sampler):
    plan = pydiffcore.trace(sampler, levels.karras(9))
    assert plan.B[-1][0] == 1
    assert not plan.A[-1][0].any()


def moved(nodes, slope, order):
    """What ipndm_v adds to the state in the step between the last two nodes."""
    before, after = (
        samplers.ipndm_v(
            0.0, lambda x, sigma: x - sigma * slope(sigma), levels.explicit(at), None, order=order
        )
        for at in (nodes[:-1], nodes)
    )
    return after - before


@pytest.mark.parametrize(("nodes", "error"), [([6, 5, 4, 3], 0.0), ([9, 5, 4, 3.5], 0.150888)])
def test_a_bracket_that_diff_sampler_s_ipndm_v_lacks(nodes, error):
    """Three weights integrate σ² exactly; with its factor of the third they do on even levels."""
    h2, h1, h = -np.diff(nodes)
    third = (1 - h / (3 * (h + h1)) * (h * (h + h1)) / (h1 * (h1 + h2))) / 2
    weights = [1 + h / (2 * h1) + third, -h / (2 * h1) - (1 + h1 / h2) * third, third * h1 / h2]
    theirs = -h * np.dot(weights, np.square(nodes[2::-1]))
    exactly = (nodes[3] ** 3 - nodes[2] ** 3) / 3
    assert theirs / exactly - 1 == pytest.approx(error, abs=1e-6)
    assert moved(nodes, np.square, order=3) == pytest.approx(exactly, rel=1e-13)


@pytest.mark.parametrize(
    ("nodes", "excess"), [([7, 6, 5, 4, 3], 0.0), ([9.5, 9, 5, 4, 3.5], 0.148)]
)
def test_weights_of_diff_sampler_s_fourth_order_do_not_sum_to_one(nodes, excess):
    """Their sum is 1 + fourth·h1 (h1 + h2)/(h2 (h2 + h3))·(h2/h3 − h1/h2): of a constant slope."""
    h3, h2, h1, h = -np.diff(nodes)
    two, three = h + h1, h + h1 + h2
    fourth = (1 - h / (3 * two)) / 2 + (1 - h / (2 * two)) * h / (6 * three)
    fourth *= h * two * three / (h1 * (h1 + h2) * (h1 + h2 + h3))
    missed = fourth * h1 * (h1 + h2) / (h2 * (h2 + h3)) * (h2 / h3 - h1 / h2)
    assert missed == pytest.approx(excess, abs=1e-3)
    assert moved(nodes, lambda sigma: 1.0, order=4) == pytest.approx(-h, rel=1e-13)
