# SPDX-License-Identifier: Apache-2.0
"""Orders of convergence, fitted against exact solutions; NumPy arrays, the samplers' own source."""

import numpy as np
import pytest

from pydiffcore import exact, levels, process, samplers

VP = process.vp()


def fitted_order(solve, truth, sizes):
    errors = [np.abs(solve(n) - truth).max() for n in sizes]
    return -np.polyfit(np.log(sizes), np.log(errors), 1)[0]


def gaussian_case(sampler, sigmas, **options):
    data = exact.gaussian(np.array([0.4]), np.array([0.5]))
    x = np.linspace(-2, 2, 9)[:, None]

    def solve(n):
        lv = sigmas(n)
        return sampler(x * lv.sigma[0], data, lv, None, **options)

    lv = sigmas(2)
    return solve, data.solution(x * lv.sigma[0], float(lv.sigma[0]), float(lv.sigma[-1]))


def smooth(n):
    return levels.exponential(n + 1, sigma_min=0.05, sigma_max=10.0, final_zero=False)


CASES = [
    (samplers.euler, smooth, {}, 1, 0.1),
    (samplers.heun, smooth, {}, 2, 0.15),
    (samplers.dpmpp_2m, smooth, {}, 2, 0.15),
    (samplers.flow_heun, smooth, {}, 2, 0.15),
    (samplers.lms, smooth, {"order": 2}, 2, 0.15),
    (samplers.lms, smooth, {"order": 3}, 3, 0.25),
]


@pytest.mark.parametrize(("sampler", "sigmas", "options", "order", "tolerance"), CASES)
def test_order_on_a_gaussian(sampler, sigmas, options, order, tolerance):
    solve, truth = gaussian_case(sampler, sigmas, **options)
    assert fitted_order(solve, truth, [20, 40, 80, 160, 320]) == pytest.approx(order, abs=tolerance)


def vp_time(n):
    return levels.uniform_t(n + 1, VP, t_min=0.01, t_max=0.8, final_zero=False)


@pytest.mark.parametrize(
    ("sampler", "options", "order"),
    [
        (samplers.pf_euler, {}, 1),
        (samplers.pf_heun, {}, 2),
        (samplers.pf_heun, {"stage": 0.5}, 2),
        (samplers.pf_heun, {"stage": 2 / 3}, 2),
    ],
)
def test_order_in_the_process_own_time(sampler, options, order):
    solve, truth = gaussian_case(sampler, vp_time, process=VP, **options)
    assert fitted_order(solve, truth, [40, 80, 160, 320]) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(
    ("sampler", "order", "sizes"),
    [
        (samplers.euler, 1, [320, 640, 1280]),
        (samplers.heun, 2, [80, 160, 320]),
        (samplers.dpmpp_2m, 2, [80, 160, 320]),
    ],
)
def test_order_on_a_mixture(sampler, order, sizes):
    data = exact.mixture([0.4, 0.6], [[-1.0], [0.8]], [0.3, 0.4])
    x = 10.0 * np.linspace(-1.7, 1.9, 8)[:, None]

    def solve(n):
        return sampler(x, data, smooth(n), None)

    truth = data.solution(x, 10.0, 0.05)
    tolerance = 0.1 if order == 1 else 0.15
    assert fitted_order(solve, truth, sizes) == pytest.approx(order, abs=tolerance)
