# SPDX-License-Identifier: Apache-2.0
"""Levels of Restart."""

import numpy as np
import pytest

from pydiffcore import levels

BASE = levels.explicit([80.0, 20.0, 5.0, 1.0, 0.2, 0.0])


def test_a_segment_is_gone_through_again_after_the_level_nearest_its_lower_end():
    found = levels.restart(BASE, [(2, 0.9, 4.0, 2)])
    once = levels.karras(2, sigma_min=1.0, sigma_max=4.0, final_zero=False).sigma
    assert once[-1] == 1.0
    expected = [80.0, 20.0, 5.0, 1.0, *once, *once, 0.2, 0.0]
    assert found.sigma.tolist() == expected
    assert found.rising
    assert found.process == BASE.process
    assert list(found.jumps())[3:5] == [(1.0, 4.0), (4.0, float(once[1]))]


def test_steps_add_up():
    """Each segment is K rises and K·n falls more; segments of one level follow one another."""
    segments = [(3, 0.25, 3.0, 4), (2, 5.0, 19.0, 1), (1, 1.2, 2.0, 5), (1, 0.9, 6.0, 1)]
    found = levels.restart(BASE, segments)
    assert len(found) == len(BASE) + sum(K * (n + 1) for K, _, _, n in segments)
    rises = [(a, b) for a, b in found.jumps() if b > a]
    assert rises == [(5.0, 19.0), (5.0, 19.0), (1.0, 2.0), (1.0, 6.0), *[(0.2, 3.0)] * 3]


def test_nothing_to_repeat():
    for segments in ([], [(0, 1.0, 4.0, 3)]):
        assert np.array_equal(levels.restart(BASE, segments).sigma, BASE.sigma)
    assert list(levels.restart(BASE, [(0, 1.0, 4.0, 3)]).steps()) == list(BASE.steps())


def test_spacing():
    even = levels.restart(BASE, [(1, 1.0, 4.0, 3)], rho=1.0)
    np.testing.assert_allclose(even.sigma[4:8], [4.0, 3.0, 2.0, 1.0], rtol=1e-12)


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        ((1, 1.0, 4.0), r"segments has \(1, 1\.0, 4\.0\), expected a list of \(K, t_min"),
        ((-1, 1.0, 4.0, 2), "K and n must be whole"),
        ((1, 1.0, 4.0, 0), "K and n must be whole"),
        ((1.5, 1.0, 4.0, 2), "K and n must be whole"),
        ((1, 4.0, 1.0, 2), "expected 0 < t_min < t_max"),
        ((1, 0.0, 1.0, 2), "expected 0 < t_min < t_max"),
        ((1, 1.0, np.inf, 2), "expected 0 < t_min < t_max"),
        ((1, 3.2, 4.0, 2), r"t_max is 4\.0, not above 5\.0"),
    ],
)
def test_wrong_segments(segment, message):
    with pytest.raises(ValueError, match=message):
        levels.restart(BASE, [segment])


def test_segments_that_are_no_list_of_segments():
    with pytest.raises(ValueError, match="segments has 1, expected a list of"):
        levels.restart(BASE, (1, 0.1, 1.0, 3))
    for wrong in ({(1, 1.0, 4.0, 2): 1}, 3):
        with pytest.raises(TypeError, match=r"segments is .*, expected a list of"):
            levels.restart(BASE, wrong)


def test_levels_that_rise_already():
    with pytest.raises(ValueError, match="base must fall"):
        levels.restart(levels.restart(BASE, [(1, 1.0, 4.0, 2)]), [(1, 1.0, 4.0, 2)])
