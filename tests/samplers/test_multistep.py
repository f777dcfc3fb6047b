# SPDX-License-Identifier: Apache-2.0
"""Multistep samplers: fitted orders, registers, what their options refuse.

Orders are fitted on levels whose first and last steps are short, O(1/n²): a first step of order 1
has an error of O(h²), which would hide a third order (see test_an_even_start_...).
"""

import functools
import math

import numpy as np
import pytest
from scipy import integrate

import pydiffcore
from pydiffcore import exact, levels, process, samplers
from pydiffcore.samplers.deis import time_weights
from pydiffcore.samplers.er_sde import chosen, step_weights

SIZES = [160, 320, 640]
GAUSSIAN = exact.gaussian(np.full(4, 0.4), np.array([0.2, 0.5, 0.7, 1.0]))
MIXTURE = exact.mixture([0.4, 0.6], [[-1.0], [0.8]], [0.3, 0.4])


def graded(n):
    u = np.linspace(0.0, 1.0, n + 1)
    return levels.explicit(10.0 * 0.005 ** (u * u * (3 - 2 * u)), process.vp())


def smooth(n):
    return levels.exponential(n + 1, sigma_min=0.05, sigma_max=10.0, final_zero=False)


@functools.cache
def solution(data, sigma):
    x = 10.0 * np.linspace(-1.7, 1.9, 8)[:, None] * np.ones(data.shape)
    return x, data.solution(x, 10.0, sigma)


def fitted_order(sampler, sigmas, data, options):
    x, truth = solution(data, float(sigmas(2).sigma[-1]))
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
    *((s.deis, {"order": p, "space": v}, p) for p in (1, 2, 3, 4) for v in ("t", "rho", "log_rho")),
    (s.deis, {"order": 3, "lower_order_final": True}, 3),
    (s.plms, {"order": 2}, 2),
    (s.plms, {}, 2),
    (s.pndm, {}, 2),
    *((s.ipndm, {"order": p}, min(p, 2)) for p in (1, 2, 3, 4)),
    *((s.ipndm_v, {"order": p}, p) for p in (1, 2, 3)),
    *((s.ab_velocity, {"order": p}, p) for p in (1, 2, 3)),
    *(
        (s.sa_solver, {"tau": 0.0, "predictor": p, "corrector": c}, min(p + 1, c or p))
        for p, c in ((1, 0), (3, 0), (1, 1), (1, 2), (2, 3), (3, 4))
    ),
    (s.sa_solver, {"tau": 0.0, "pece": True}, 4),
    *((s.er_sde, {"scale": "ode", "order": p}, min(p, 2)) for p in (1, 2, 3)),
    (s.er_sde, {"scale": "ode", "parabola": True}, 3),
    *((s.res_multistep, {"order": p}, p) for p in (1, 2, 3, 4)),
    *((s.gradient_estimation, {"gamma": g}, p) for g, p in ((1.0, 1), (1.5, 2), (2.0, 1))),
    (s.sa_solver, {"tau": 0.0, "predictor": 2, "corrector": 3, "variant": "bh1"}, 3),
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


def even(n):
    return levels.explicit(np.linspace(10.0, 0.5, n + 1))


@pytest.mark.parametrize(
    ("sampler", "options", "order"),
    [(s.plms, {}, 4), (s.pndm, {}, 4), (s.ipndm, {}, 4), (s.ipndm, {"order": 3}, 3)],
    ids=name,
)
def test_pseudo_numerical_methods_have_their_order_on_even_steps(sampler, options, order):
    """Theirs are the coefficients of even steps: in sigma they have full order, elsewhere 2."""
    assert fitted_order(sampler, even, MIXTURE, options) == pytest.approx(order, abs=0.35)


@pytest.mark.parametrize("sampler", [s.plms, s.pndm])
def test_combining_velocities_in_ddim_s_step_is_first_order(sampler):
    """As diffusers' PNDM does for networks that predict v: even a known x0 is not found."""
    assert fitted_order(sampler, graded, MIXTURE, {"of": "v"}) == pytest.approx(1, abs=0.15)
    plan = pydiffcore.trace(sampler, levels.uniform_t(20, process.vp()), of="v")
    assert plan.x0_error.max() > 1e-3


def test_pndm_has_the_exact_marginal():
    plan = pydiffcore.trace(s.pndm, levels.karras(20, sigma_max=10.0, sigma_min=0.1))
    assert plan.x0_error.max() < 1e-11
    assert np.abs(plan.noise_ratio - 1).max() < 1e-11


def test_halfway_of_a_runge_kutta_step_can_be_given():
    seen = pydiffcore.trace(s.pndm, levels.explicit([9.0, 5.0, 0.0]), middle=lambda a, b: b + 1)
    assert seen.sigma.tolist() == [9.0, 6.0, 6.0, 5.0, 5.0]


@pytest.mark.parametrize("time", [process.vp().time, process.flow().time, process.sub_vp().time])
@pytest.mark.parametrize(("sigma", "target"), [(80.0, 50.0), (1.0, 0.9), (80.0, 0.01), (0.3, 0.0)])
def test_integrals_in_time_are_accurate(time, sigma, target):
    """Against SciPy's adaptive quadrature in log sigma (in sigma where it ends in 0)."""
    nodes = [sigma, 1.3 * sigma, 2.1 * sigma]
    found = time_weights(time, nodes, sigma, target)
    u = [float(time(a)) for a in nodes]

    def lagrange(j, at):
        return np.prod([(time(at) - b) / (u[j] - b) for b in u if b != u[j]])

    for j, value in enumerate(found, start=1):
        if target > 0:
            truth, _ = integrate.quad(
                lambda v, j=j: lagrange(j, np.exp(v)) * np.exp(v), np.log(sigma), np.log(target),
                epsabs=1e-13, epsrel=1e-12, limit=500,
            )  # fmt: skip
        else:
            truth, _ = integrate.quad(lambda a, j=j: lagrange(j, a), sigma, 0.0, epsrel=1e-12)
        assert value == pytest.approx(truth, rel=1e-9, abs=1e-11 * sigma)


@pytest.mark.parametrize("space", ["t", "rho", "log_rho"])
def test_the_step_to_zero_returns_the_denoised(space):
    plan = pydiffcore.trace(s.deis, levels.karras(6), space=space)
    assert np.allclose(plan.A[-1], 0.0, atol=1e-14)
    assert plan.B[-1][0] == pytest.approx(1.0, abs=1e-14)


REGISTERS = [
    (s.dpmpp_2m, {"solver": "heun"}, 2),
    (s.dpmpp_3m, {}, 3),
    (s.dpmpp_3m_sde, {}, 3),
    (s.dpm_solver_multi, {"order": 3}, 3),
    (s.unipc, {"order": 2}, 3),
    (s.unipc, {"order": 3}, 4),
    (s.unipc, {"order": 3, "corrector": False}, 3),
    *((s.deis, {"order": 3, "space": space}, 3) for space in ("t", "rho", "log_rho")),
    (s.deis, {"order": 4}, 4),
    (s.plms, {}, 4),
    (s.plms, {"order": 2}, 2),
    (s.pndm, {}, 5),
    (s.ipndm, {}, 4),
    (s.sa_solver, {"predictor": 3, "corrector": 3}, 4),
    (s.sa_solver, {"predictor": 3, "corrector": 4, "pece": True}, 4),
]


@pytest.mark.parametrize(("sampler", "options", "registers"), REGISTERS, ids=name)
def test_registers(sampler, options, registers):
    plan = pydiffcore.trace(sampler, levels.karras(12), **options)
    assert plan.registers == registers


@pytest.mark.parametrize(
    ("tau", "drawn"), [(1.0, 5), (0.0, 0), ((0.5, 8.0), 4), (lambda sigma: sigma > 1.0, 4)], ids=str
)
def test_sa_solver_draws_where_tau_is_not_zero(tau, drawn):
    at = levels.explicit([16.0, 8.0, 4.0, 2.0, 1.0, 0.3, 0.0])
    assert pydiffcore.trace(s.sa_solver, at, tau=tau).draws == drawn


HARD = {
    "one step": [80.0, 0.0],
    "one step to 1e-3": [80.0, 1e-3],
    "a ratio of 1e8 in one step": [1e4, 1e-4, 0.0],
    "a ratio of 1e8 in seven": [*np.geomspace(1e4, 1e-4, 8), 0.0],
    "nearly no signal": [1e8, 40.0, 10.0, 3.0, 1.0, 0.1, 0.0],
    "steps of 1e-6": 10.0 * (1 - 1e-6 * np.arange(8)),
    "a thousand": levels.karras(1000).sigma,
}
DATA_BASED = [
    (s.dpmpp_2m, {}), (s.dpmpp_2m_sde, {}), (s.dpmpp_3m, {}), (s.dpmpp_3m_sde, {}), (s.unipc, {}),
    (s.unipc, {"order": 3}), (s.sa_solver, {}), (s.sa_solver, {"pece": True}), (s.er_sde, {}),
    (s.res_multistep, {"order": 3, "eta": 1.0}),
]  # fmt: skip
NOISE_BASED = [
    (s.dpm_solver_multi, {"order": 3}), (s.unipc, {"order": 3, "predict": "eps"}), (s.deis, {}),
    (s.deis, {"order": 4, "space": "log_rho"}), (s.plms, {}), (s.pndm, {}), (s.ipndm, {}),
    (s.ab_velocity, {"order": 4}), (s.sa_solver, {"predict": "eps", "tau": 0.0}),
    (s.gradient_estimation, {}),
]  # fmt: skip


@pytest.mark.parametrize("sigma", HARD.values(), ids=HARD)
@pytest.mark.parametrize(("sampler", "options"), DATA_BASED + NOISE_BASED, ids=name)
def test_hard_levels_make_finite_plans(sampler, options, sigma):
    """A plan is refused where a number is not finite.  D-based methods forget what they were."""
    plan = pydiffcore.trace(sampler, levels.explicit(sigma, process.vp()), **options)
    if (sampler, options) in DATA_BASED:
        assert plan.x0_error.max() < 1e-8
        assert np.abs(plan.noise_ratio - 1).max() < 1e-8


def same(one, other):
    """Whether two samplers, as (function, options), make the same rows."""
    at = levels.karras(9, final_zero=False)  # some go to 0 by their own rule
    a, b = (pydiffcore.trace(f, at, **given) for f, given in (one, other))
    rows = ("A", "B", "S")
    return all(np.allclose(getattr(a, r), getattr(b, r), rtol=1e-12, atol=1e-13) for r in rows)


IDENTITIES = [
    ((s.res_multistep, {}), (s.dpmpp_2m, {"solver": "heun"})),
    ((s.unipc, {"corrector": False}), (s.dpmpp_2m, {})),
    ((s.unipc, {"order": 3, "corrector": False}), (s.dpmpp_3m, {"solver": "midpoint"})),
    (
        (s.unipc, {"order": 3, "variant": "bh1"}),
        (s.sa_solver, {"tau": 0.0, "predictor": 3, "corrector": 4, "variant": "bh1"}),
    ),
    ((s.deis, {"space": "rho"}), (s.lms, {"order": 3})),
    ((s.ipndm_v, {}), (s.lms, {})),
    ((s.er_sde, {"scale": "sde", "order": 1}), (s.ancestral, {})),
    ((s.er_sde, {"scale": lambda s: s**2, "order": 1}), (s.ancestral, {})),
    ((s.sa_solver, {"tau": 1.0, "predictor": 1, "corrector": 0}), (s.ancestral, {})),
    ((s.sa_solver, {"predictor": 3, "corrector": 0}), (s.dpmpp_3m_sde, {})),
    ((s.gradient_estimation, {"gamma": 1.0, "mu": 0.5}), (s.ancestral, {})),
    ((s.gradient_estimation, {"gamma": 1.0}), (s.euler, {})),
]


@pytest.mark.parametrize(("one", "other"), IDENTITIES)
def test_methods_that_are_the_same(one, other):
    """Two derivations of one method give the same rows: coefficients against each other."""
    assert same(one, other)


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
    (s.deis, {"order": 5}, "order is 5"),
    (s.deis, {"space": "sigma"}, "space is 'sigma', expected one of 't', 'rho', 'log_rho'"),
    (s.plms, {"order": 5}, "order is 5, expected a whole number from 1 to 4"),
    (s.pndm, {"of": "x0"}, "of is 'x0', expected one of 'eps', 'v'"),
    (s.ipndm, {"order": 1.5}, "order is 1.5"),
    (s.ab_velocity, {"order": 0}, "order is 0"),
    (s.sa_solver, {"predictor": 5}, "predictor is 5"),
    (s.sa_solver, {"corrector": -1}, "corrector is -1"),
    (s.sa_solver, {"tau": -1.0}, "tau is -1.0, expected at least 0"),
    (s.er_sde, {"order": 4}, "order is 4, expected a whole number from 1 to 3: the paper"),
    (s.er_sde, {"scale": "er-sde-6"}, "scale is 'er-sde-6', expected one of 'ode', 'sde', 'er-s"),
    (s.er_sde, {"scale": lambda s: s**0.5}, "scale.sigma./sigma to be positive and not to fall"),
    (s.res_multistep, {"eta": -1.0}, "eta is -1.0"),
    (s.res_multistep, {"order": 5}, "order is 5"),
    (s.gradient_estimation, {"mu": 1.0}, "mu is 1.0, expected below 1"),
    (s.gradient_estimation, {"gamma": -2.0}, "gamma is -2.0, expected at least 0"),
    (s.sa_solver, {"tau": (1.0,)}, "tau is .1.0,., expected .low, high"),
    (s.sa_solver, {"tau": ["1", 2.0]}, "tau is .'1', 2.0., expected .low, high"),
    (s.lms, {"order": 2.5}, "order is 2.5, expected a whole number, at least 1"),
    (s.unipc, {"disable": 0}, "disable is 0, expected numbers of steps, such as"),
    (s.unipc, {"disable": "01"}, "disable is '01'"),
    (s.er_sde, {"order": np.int64(4)}, "order is .*4.*, expected a whole number from 1 to 3: the"),
    (s.dpmpp_2m_sde, {"eta": "1"}, "eta is '1', expected at least 0"),
    (s.dpm_fast, {"nfe": 1.5}, "nfe is 1.5, expected a whole number"),
]


def test_options_in_other_types():
    given = levels.karras(5, 0.5, 20.0)
    listed = pydiffcore.trace(s.sa_solver, given, tau=[0.1, 5.0])
    assert np.array_equal(listed.S, pydiffcore.trace(s.sa_solver, given, tau=(0.1, 5.0)).S)
    for sampler, option in (
        (s.er_sde, "order"), (s.unipc, "order"), (s.lms, "order"), (s.sa_solver, "predictor"),
        (s.predictor_corrector, "corrections"), (s.langevin, "repeats"), (s.dpm_fast, "nfe"),
    ):  # fmt: skip
        whole = pydiffcore.trace(sampler, given, **{option: 2})
        again = pydiffcore.trace(sampler, given, **{option: np.int64(2)})
        assert np.array_equal(whole.A, again.A), sampler
    for wrong in ("1", None, 1j):
        with pytest.raises(TypeError, match=r"tau is .*, expected a number, .low, high"):
            pydiffcore.trace(s.sa_solver, given, tau=wrong)
    with pytest.raises(TypeError, match="scale is 3, expected a name or a function"):
        pydiffcore.trace(s.er_sde, given, scale=3)


@pytest.mark.parametrize("scale", ["er-sde-1", "er-sde-3", "er-sde-5", "ode", "sde"])
def test_scales_at_levels_without_bound(scale):
    """Where φ(σ)/σ itself is beyond all numbers, its ratio is not: all noise is new there."""
    given = levels.explicit([1e12, 1e11, 5.0, 1.0, 0.0])
    plan = pydiffcore.trace(s.er_sde, given, scale=scale)
    assert np.isfinite(plan.S).all()
    assert pydiffcore.trace(s.er_sde, levels.flow_shift(6, 3.0)).nfe == 6
    q, *_ = step_weights(chosen("er-sde-5"), 1e12, 1e11)
    assert q == 0
    at, to = (math.exp(sigma**0.3) + 10 for sigma in (80.0, 20.0))
    q, *_ = step_weights(chosen("er-sde-5"), 80.0, 20.0)
    assert q == pytest.approx(to / at, rel=1e-14)


@pytest.mark.parametrize(("sampler", "options", "message"), REFUSED, ids=name)
def test_wrong_options_are_named(sampler, options, message):
    with pytest.raises(ValueError, match=message):
        pydiffcore.trace(sampler, levels.karras(5), **options)
