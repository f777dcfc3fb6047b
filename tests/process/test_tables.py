# SPDX-License-Identifier: Apache-2.0
"""Discrete processes against high-precision evaluation of their tables."""

import mpmath as mp
import numpy as np
import pytest

from pydiffcore import process as processes


def test_discrete_tables_are_exact():
    with mp.workdps(40):
        for betas in (processes.linear_betas(), processes.cosine_betas()):
            abar, levels = mp.mpf(1), []
            for beta in betas:
                abar *= 1 - mp.mpf(float(beta))
                levels.append(float(mp.sqrt((1 - abar) / abar)))
            process = processes.discrete(betas)
            index = np.arange(betas.size)
            np.testing.assert_allclose(process.level(index), levels, rtol=1e-14)
            assert np.array_equal(process.time(process.level(index)), index)
            assert np.array_equal(process.label(process.time(process.level(index))), index)


def test_discrete_interpolates_the_log_level():
    process = processes.discrete(processes.linear_betas())
    a, b = process.level(400), process.level(401)
    assert process.level(400.25) == pytest.approx(a**0.75 * b**0.25, rel=1e-14)
    assert process.time(np.sqrt(a * b)) == pytest.approx(400.5, abs=1e-12)
    assert process.level(-0.25) == pytest.approx(0.75 * process.level(0), rel=1e-15)
    assert process.label(-0.5) == 0.0
    assert process.label(process.time(1e6)) == 999.0


def test_ranges_that_are_well_known():
    linear = processes.discrete(processes.linear_betas())
    assert linear.level([0, 999]) == pytest.approx([0.0100, 157.41], rel=1e-3)
    scaled = processes.discrete(processes.scaled_linear_betas())
    assert scaled.level([0, 999]) == pytest.approx([0.029167, 14.615], rel=1e-3)
    assert processes.iddpm().level([0, 999]) == pytest.approx([0.0064, 20291.2], rel=5e-3)
    assert processes.vp().level([1e-5, 1e-3, 1.0]) == pytest.approx(
        [0.00100, 0.01049, 152.17], rel=1e-3
    )


def test_iddpm_is_the_recurrence_and_the_cosine_schedule():
    m, c1, c2 = 1000, mp.mpf("0.001"), mp.mpf("0.008")
    with mp.workdps(40):
        a = [mp.sin(mp.pi / 2 * j / (m * (c2 + 1))) ** 2 for j in range(m + 1)]
        u = [mp.mpf(0)] * (m + 1)
        for j in range(m, 0, -1):
            u[j - 1] = mp.sqrt((u[j] ** 2 + 1) / max(a[j - 1] / a[j], c1) - 1)
        expected = [float(value) for value in u]
    levels = processes.iddpm_levels()
    np.testing.assert_allclose(levels, expected, rtol=1e-11)
    cosine = processes.discrete(processes.cosine_betas())
    index = np.arange(1000)
    np.testing.assert_allclose(cosine.level(index), levels[-2::-1], rtol=1e-9)
    np.testing.assert_array_equal(processes.iddpm().level(index), levels[-2::-1])
