# SPDX-License-Identifier: Apache-2.0
"""Multistep samplers: fitted orders, registers, what their options refuse.

Orders are fitted on levels whose first and last steps are short, O(1/n²): a first step of order 1
has an error of O(h²), which would hide a third order (see test_an_even_start_...).
"""

import numpy as np
import pytest

import pydiffcore
from pydiffcore import exact, levels, samplers

SIZES = [160, 320, 640]
GAUSSIAN = exact.gaussian(np.full(4, 0.4), np.array([0.2, 0.5, 0.7, 1.0]))
MIXTURE = exact.mixture([0.4, 0.6], [[-1.0], [0.8]], [0.3, 0.4])


def graded(n):
    u = np.linspace(0.0, 1.0, n + 1)
    return levels.explicit(10.0 * 0.005 ** (u * u * (3 - 2 * u)))


def smooth(n):
    return levels.exponential(n + 1, sigma_min=0.05, sigma_max=10.0, final_zero=False)


def fitted_order(sampler, sigmas, data, options):
    x = 10.0 * np.linspace(-1.7, 1.9, 8)[:, None] * np.ones(data.shape)
    truth = data.solution(x, 10.0, float(sigmas(2).sigma[-1]))
    errors = [np.abs(sampler(x, data, sigmas(n), None, **options) - truth).max() for n in SIZES]
    return -np.polyfit(np.log(SIZES), np.log(errors), 1)[0]


def name(value):
    return getattr(value, "__name__", None)


s = samplers
ORDERS = [
    (s.dpmpp_2m, {}, 2),
    (s.dpmpp_2m, {"solver": "heun"}, 2),
    (s.dpmpp_2m, {"lower_order_final": True}, 2),
    (s.dpmpp_2m_sde, {"eta": 0.0, "solver": "heun"}, 2),
    (s.dpmpp_3m, {}, 3),
    (s.dpmpp_3m, {"solver": "heun", "lower_order_final": True}, 3),
    (s.dpmpp_3m, {"euler_at_final": True}, 3),
    (s.dpmpp_3m_sde, {"eta": 0.0}, 3),
    (s.dpm_solver_multi, {"order": 1}, 1),
    (s.dpm_solver_multi, {"order": 2}, 2),
    (s.dpm_solver_multi, {"order": 2, "solver": "heun"}, 2),
    (s.dpm_solver_multi, {"order": 3}, 3),
    *((s.unipc, {"order": p, "variant": v}, p + 1) for p in (1, 2, 3) for v in ("bh1", "bh2")),
    *((s.unipc, {"order": p, "predict": "eps"}, p + 1) for p in (1, 2, 3)),
    (s.unipc, {"order": 4, "variant": "exact"}, 5),
    (s.unipc, {"order": 3, "lower_order_final": True}, 4),
    (s.unipc, {"order": 3, "corrector": False}, 3),
]


@pytest.mark.parametrize(("sampler", "options", "order"), ORDERS, ids=name)
def test_order_on_a_mixture(sampler, options, order):
    tolerance = 0.15 if order <= 3 else 0.35  # 640 steps are not yet its limit
    found = fitted_order(sampler, graded, MIXTURE, options)
    assert found == pytest.approx(order, abs=tolerance)


@pytest.mark.parametrize(("sampler", "options", "order"), ORDERS, ids=name)
def test_order_on_a_gaussian(sampler, options, order):
    tolerance = 0.15 if order <= 3 else 0.35
    found = fitted_order(sampler, graded, GAUSSIAN, options)
    assert found == pytest.approx(order, abs=tolerance)


@pytest.mark.parametrize("sampler", [s.dpmpp_3m, s.dpm_solver_multi])
def test_half_the_curvature_is_second_order(sampler):
    """The released code of DPM-Solver and those after it have half of the third term."""
    options = {"curvature": 0.5, **({"order": 3} if sampler is s.dpm_solver_multi else {})}
    assert fitted_order(sampler, graded, MIXTURE, options) == pytest.approx(2, abs=0.15)


def test_an_even_start_leaves_second_order():
    """Of even steps the first, of order 1, dominates in the end."""
    assert fitted_order(s.dpmpp_3m, smooth, MIXTURE, {}) == pytest.approx(2, abs=0.3)


REGISTERS = [
    (s.dpmpp_2m, {"solver": "heun"}, 2),
    (s.dpmpp_3m, {}, 3),
    (s.dpmpp_3m_sde, {}, 3),
    (s.dpm_solver_multi, {"order": 3}, 3),
    (s.unipc, {"order": 2}, 3),
    (s.unipc, {"order": 3}, 4),
    (s.unipc, {"order": 3, "corrector": False}, 3),
]


@pytest.mark.parametrize(("sampler", "options", "registers"), REGISTERS, ids=name)
def test_registers(sampler, options, registers):
    plan = pydiffcore.trace(sampler, levels.karras(12), **options)
    assert plan.registers == registers


REFUSED = [
    (s.dpmpp_2m, {"solver": "euler"}, "solver is 'euler', expected one of 'midpoint', 'heun'"),
    (s.dpmpp_2m_sde, {"eta": -0.5}, "eta is -0.5"),
    (s.dpmpp_3m_sde, {"s_noise": float("nan")}, "s_noise is nan"),
    (s.dpmpp_3m, {"curvature": -1.0}, "curvature is -1"),
    (s.dpm_solver_multi, {"order": 4}, "order is 4, expected a whole number from 1 to 3"),
    (s.dpm_solver_multi, {"solver": "bh2"}, "solver is 'bh2'"),
    (s.unipc, {"order": 0}, "order is 0, expected a whole number from 1 to 4"),
    (s.unipc, {"variant": "vary"}, "variant is 'vary', expected one of 'bh1', 'bh2', 'exact'"),
    (s.unipc, {"predict": "v"}, "predict is 'v'"),
]


@pytest.mark.parametrize(("sampler", "options", "message"), REFUSED, ids=name)
def test_wrong_options_are_named(sampler, options, message):
    with pytest.raises(ValueError, match=message):
        pydiffcore.trace(sampler, levels.karras(5), **options)
