# SPDX-License-Identifier: Apache-2.0
"""The φ functions against mpmath."""

import mpmath
import pytest

from pydiffcore.samplers.phi import phi

ARGUMENTS = [1e-8, 1e-5, 1e-3, 0.03, 0.4, 0.99, 1.01, 1.49, 1.51, 2.5, 3.1, 7.0, 18.4]


def exactly(k, h):
    """φ_k by its recurrence at 120 digits, which outlasts the cancellation at h = 1e-8."""
    with mpmath.workdps(120):
        value = mpmath.exp(mpmath.mpf(h))
        for j in range(k):
            value = (value - 1 / mpmath.factorial(j)) / mpmath.mpf(h)
        return value


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("h", ARGUMENTS)
@pytest.mark.parametrize("k", [0, 1, 2, 3, 4])
def test_phi_is_accurate(k, h, sign):
    truth = exactly(k, sign * h)
    assert abs((phi(k, sign * h) - truth) / truth) < 1e-14


@pytest.mark.parametrize(("k", "value"), [(0, 1.0), (1, 1.0), (2, 0.5), (3, 1 / 6)])
def test_phi_at_zero(k, value):
    assert phi(k, 0.0) == pytest.approx(value, rel=1e-15)


def test_phi_refuses_a_negative_number():
    with pytest.raises(ValueError, match="k is -1"):
        phi(-1, 0.5)
