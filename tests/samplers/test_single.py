# SPDX-License-Identifier: Apache-2.0
"""Exponential one-step samplers in λ: orders, closed forms of a step, laws of their noise."""

import itertools
import math

import numpy as np
import pytest
from samplers.test_law import STD
from samplers.test_multistep import HARD, name
from samplers.test_runge_kutta import GAUSSIAN, MIXTURE, fitted_order, identity, smooth

import pydiffcore
from pydiffcore import levels, process, samplers
from pydiffcore.samplers import exponential_tableau as et

s = samplers
ORDERS = [
    (s.res_2s, {}, 2),
    (s.res_2s, {"c2": 1.0}, 2),
    (s.res_3s, {}, 3),
    (s.res_3s, {"c2": 0.3, "c3": 2 / 3}, 3),
    (s.res_5s, {}, 4),
    (s.exponential_rk, {"tableau": et.EXPONENTIAL_EULER}, 1),
    (s.exponential_rk, {"tableau": et.cox_matthews()}, 4),
    (s.exponential_rk, {"tableau": et.krogstad(), "predict": "eps"}, 4),
    (s.exponential_rk, {"tableau": et.hochbruck_ostermann_5(), "predict": "eps"}, 4),
    (s.dpm_solver_2, {}, 2),
    (s.dpm_solver_2, {"r": 0.3}, 2),
    (s.dpm_solver_3, {}, 3),
    (s.dpm_solver_3, {"r1": 0.2, "r2": 0.5}, 2),
    (s.dpmpp_2s, {}, 2),
    (s.dpmpp_2s, {"r": 0.8, "solver": "heun"}, 2),
    (s.dpmpp_3s, {}, 3),
    (s.dpmpp_3s, {"solver": "heun"}, 3),
    (s.dpmpp_3s, {"r1": 0.2, "r2": 0.5, "solver": "heun"}, 2),
    (s.dpmpp_2s_ancestral, {"eta": 0.0}, 2),
    (s.dpmpp_sde, {"eta": 0.0}, 2),
    (s.seeds_1, {"eta": 0.0}, 1),
    (s.seeds_2, {"eta": 0.0}, 2),
    (s.seeds_3, {"eta": 0.0, "predict": "eps"}, 3),
    (s.dpm_solver_single, {"order": 1}, 1),
    *(
        (s.dpm_solver_single, {"order": k, "predict": p, "solver": solver}, k)
        for k in (2, 3)
        for p in ("x0", "eps")
        for solver in ("midpoint", "heun")
    ),
]


@pytest.mark.parametrize(("sampler", "options", "order"), ORDERS, ids=identity)
def test_order_on_a_mixture(sampler, options, order):
    sizes = [121, 241, 481] if sampler is s.dpm_solver_single else [80, 160, 320]
    sizes = sizes if order > 1 else [320, 640, 1280]
    assert fitted_order(sampler, MIXTURE, sizes, options) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("sampler", [s.res_3s, s.res_5s, s.dpm_solver_3, s.dpmpp_3s], ids=name)
def test_order_on_a_gaussian(sampler):
    order = 4 if sampler is s.res_5s else 3
    found = fitted_order(sampler, GAUSSIAN, [80, 160, 320], {})
    assert found == pytest.approx(order, abs=0.12)


def test_dpm_fast_has_the_order_of_its_steps_but_the_last():
    """3, 3, …, then 2 and 1: the last steps of lower order, O(h²) of them, leave order 2."""
    assert fitted_order(s.dpm_fast, MIXTURE, [120, 240, 480], {}) == pytest.approx(2, abs=0.1)


def test_calls():
    """In a step to σ = 0 one; dpm_fast has what it is given, D at the lowest level included."""
    for sampler, calls in ((s.dpmpp_2s, 9), (s.res_5s, 21), (s.dpmpp_sde, 9), (s.seeds_3, 13)):
        assert pydiffcore.trace(sampler, levels.karras(5)).nfe == calls
    for n in (1, 2, 3, 5, 9, 10, 11):
        for k in (1, 2, 3):
            assert pydiffcore.trace(s.dpm_solver_single, levels.karras(n), order=k).nfe == n
    for final_zero in (True, False):
        at = levels.karras(4, final_zero=final_zero)
        assert pydiffcore.trace(s.dpm_fast, at).nfe == 4
        for nfe in range(2, 13):
            assert pydiffcore.trace(s.dpm_fast, at, nfe=nfe).nfe == nfe


def test_dpm_fast_steps_evenly_in_lambda():
    """Seven calls between 16 and 1/4: orders 3, 3, 1, each a third of λ."""
    at = levels.explicit([16.0, 0.25])
    found = pydiffcore.trace(s.dpm_fast, at, nfe=7).sigma
    third = 4.0
    outer = [16.0, 16.0 / third, 16.0 / third**2]
    expected = [a * third ** (-i / 3) for a in outer[:2] for i in range(3)] + [outer[2]]
    assert found == pytest.approx(expected)
    six = pydiffcore.trace(s.dpm_fast, at, nfe=6).sigma  # orders 3, 2, 1
    assert six[3:] == pytest.approx([4.0, 2.0, 1.0])


def test_dpm_fast_goes_no_lower_than_the_last_level():
    plan = pydiffcore.trace(s.dpm_fast, levels.explicit([16.0, 0.25]), nfe=7, eta=1.0)
    assert plan.sigma.min() >= 0.25
    assert plan.draws == 2  # the last step would end below and draws nothing


def same(one, other, n=9):
    at = levels.karras(n)
    a, b = (pydiffcore.trace(f, at, **given) for f, given in (one, other))
    parts = zip((a.A, a.B, a.S), (b.A, b.B, b.S), strict=True)
    return all(np.allclose(p, q, rtol=1e-11, atol=1e-12) for p, q in parts)


IDENTITIES = [
    ((s.dpm_solver_2, {}), (s.exponential_rk, {"tableau": et.single_2(), "predict": "eps"})),
    ((s.dpmpp_2s, {"solver": "heun"}), (s.res_2s, {})),
    ((s.exponential_rk, {"tableau": et.EXPONENTIAL_EULER}), (s.euler, {})),
    ((s.dpm_solver_single, {"order": 1, "predict": "eps"}), (s.euler, {})),
    ((s.dpm_solver_single, {"order": 1, "eta": 1.0}), (s.ancestral, {})),
    ((s.seeds_1, {}), (s.ancestral, {})),
    ((s.dpmpp_sde, {"clock": "sde"}), (s.seeds_2, {})),
    ((s.dpmpp_sde, {"clock": "sde", "r": 0.3}), (s.seeds_2, {"r": 0.3})),
    ((s.seeds_2, {"eta": 0.0}), (s.dpmpp_2s, {})),
    ((s.seeds_3, {"eta": 0.0, "predict": "eps"}), (s.dpm_solver_3, {})),
]


@pytest.mark.parametrize(("one", "other"), IDENTITIES, ids=identity)
def test_methods_that_are_the_same(one, other):
    """Two derivations of one method give the same rows: coefficients against each other."""
    assert same(one, other)


def test_the_papers_seeds_2():
    """u = x − 2σ_s(e^{h/2} − 1)ε + σ_s sqrt(e^h − 1) z_1, …: SEEDS-2 of Gonzalez et al. 2023."""
    sigma, sigma_next = 3.0, 1.0
    h, x, z = math.log(3.0), np.array([[2.0], [-1.0]]), iter(np.array([[[0.3]], [[-0.8]]]))
    z1, z2 = 0.3, -0.8
    found = s.seeds_2(
        x, GAUSSIAN, levels.explicit([sigma, sigma_next]), lambda *_: next(z), predict="eps"
    )
    middle = math.sqrt(3.0)

    def eps(state, at):
        return (state - GAUSSIAN(state, at)) / at

    u = x - 2 * middle * math.expm1(h / 2) * eps(x, sigma) + middle * math.sqrt(math.expm1(h)) * z1
    expected = x - 2 * sigma_next * math.expm1(h) * eps(u, middle)
    expected += sigma_next * math.sqrt(math.exp(2 * h) - math.exp(h)) * z1
    expected += sigma_next * math.sqrt(math.expm1(h)) * z2
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("eta", [0.4, 1.0, 1.7])
@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        (s.seeds_1, {}),
        (s.seeds_2, {"r": 0.3}),
        (s.seeds_3, {}),
        (s.seeds_3, {"r1": 0.1, "r2": 1.0}),
    ],
    ids=identity,
)
def test_the_noise_of_seeds_is_that_of_the_sde(sampler, options, eta):
    """With D = 0 every stage is x times e^{−(1+η)Δλ} plus noise of Ornstein and Uhlenbeck.

    The covariance of two stages at σ_a > σ_b is (σ_b/σ_a)^{1+η} σ_a²(1 − (σ_a/σ)^{2η}): one path.
    """
    draws, seen = [], []

    def noise(*interval):
        draws.append(interval)
        return np.eye(3)[len(draws) - 1]

    def denoise(x, sigma):
        seen.append((x, sigma))
        return 0.0 * x

    sigma, sigma_next = 3.0, 0.5
    at = levels.explicit([sigma, sigma_next])
    seen.append((sampler(np.zeros(3), denoise, at, noise, eta=eta, **options), sigma_next))
    stages = seen[1:]
    for i, (a, at_a) in enumerate(stages):
        for b, at_b in stages[i:]:
            expected = at_a**2 * (1 - (at_a / sigma) ** (2 * eta)) * (at_b / at_a) ** (1 + eta)
            assert a @ b == pytest.approx(expected, rel=1e-12)
    # fresh noise for each interval between two stages, and no more than that
    ends = [sigma, *dict.fromkeys(at for _, at in stages)]
    np.testing.assert_allclose(draws, list(itertools.pairwise(ends)), rtol=1e-14)


@pytest.mark.parametrize("clock", ["sigma", "sde"])
@pytest.mark.parametrize("r", [0.5, 0.2])
def test_both_draws_of_dpmpp_sde_are_of_one_path(clock, r):
    """Given a Brownian motion's increments, z of the whole step is its increment there."""
    sigma, sigma_next = 3.0, 0.5
    middle = sigma ** (1 - r) * sigma_next**r
    time = {"sigma": lambda at: -at, "sde": lambda at: at**-2}[clock]
    generator = np.random.default_rng(0)
    path = {sigma: 0.0}
    for a, b in ((sigma, middle), (middle, sigma_next)):
        path[b] = path[a] + math.sqrt(time(b) - time(a)) * generator.standard_normal()

    def increment(a, b):
        nearest = [min(path, key=lambda at, to=to: abs(at - to)) for to in (a, b)]
        return (path[nearest[1]] - path[nearest[0]]) / math.sqrt(time(b) - time(a))

    at = levels.explicit([sigma, sigma_next])
    found = s.dpmpp_sde(np.ones((1, 1)), GAUSSIAN, at, increment, r=r, clock=clock)
    apart = s.dpmpp_sde(np.ones((1, 1)), GAUSSIAN, at, increment, r=r, clock=clock, joint=False)
    np.testing.assert_allclose(found, apart, rtol=1e-13)


def gaussian_error(sampler, n, **options):
    """Relative error of the deviation at 0.05 on Gaussian data, started with the exact law."""
    at = levels.exponential(n, sigma_min=0.05, sigma_max=20.0, final_zero=False)
    plan = pydiffcore.trace(sampler, at, **options)
    cov = np.zeros((plan.registers, plan.registers))
    cov[0, 0] = STD**2 + 400.0
    for row in range(plan.nfe + 1):
        A = plan.A[row].copy()
        if row > 0:
            A[:, 0] += plan.B[row] * STD**2 / (STD**2 + plan.sigma[row - 1] ** 2)
        cov = A @ cov @ A.T + plan.S[row] @ plan.S[row].T
    return math.sqrt(cov[0, 0]) / math.hypot(STD, 0.05) - 1


LAWS = [
    (s.seeds_1, {}, 1),
    (s.seeds_2, {}, 2),
    (s.seeds_2, {"predict": "eps"}, 2),
    (s.seeds_3, {}, 2),
    (s.dpmpp_sde, {}, 2),
    (s.dpmpp_sde, {"clock": "sde"}, 2),
    (s.dpmpp_sde, {"joint": False}, 1),
    (s.dpm_solver_single, {"eta": 1.0}, 2),
    (s.dpm_solver_single, {"eta": 1.0, "joint": False}, 1),
    (s.dpmpp_2s_ancestral, {}, 2),
    (s.dpm_2_ancestral, {}, 2),
]


@pytest.mark.parametrize(("sampler", "options", "order"), LAWS, ids=identity)
def test_order_of_the_law(sampler, options, order):
    """Independent draws for a step and its stage cost an order."""
    sizes = [320, 640, 1280]
    errors = [abs(gaussian_error(sampler, n, **options)) for n in sizes]
    found = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert found == pytest.approx(order, abs=0.2)


def test_what_one_path_is_worth():
    """Of 80 steps: an error of the deviation of 0.06 % instead of 3.9 %."""
    assert abs(gaussian_error(s.dpmpp_sde, 80)) < 1e-3
    assert gaussian_error(s.dpmpp_sde, 80, joint=False) < -0.03


D_BASED = [
    (s.dpmpp_2s, {}), (s.dpmpp_3s, {}), (s.dpmpp_3s, {"solver": "heun"}), (s.res_2s, {}),
    (s.res_3s, {}), (s.res_5s, {}), (s.seeds_2, {}), (s.seeds_3, {}), (s.dpmpp_sde, {}),
    (s.dpmpp_sde, {"clock": "sde"}), (s.dpmpp_2s_ancestral, {}),
    (s.dpm_solver_single, {"order": 3}), (s.dpm_solver_single, {"order": 3, "eta": 1.0}),
]  # fmt: skip
EPS_BASED = [
    (s.dpm_solver_2, {}), (s.dpm_solver_3, {}), (s.dpm_solver_single, {"predict": "eps"}),
    (s.seeds_3, {"predict": "eps"}), (s.dpm_fast, {}), (s.dpm_fast, {"eta": 1.0}),
]  # fmt: skip


@pytest.mark.parametrize("sigma", HARD.values(), ids=HARD)
@pytest.mark.parametrize(("sampler", "options"), D_BASED + EPS_BASED, ids=identity)
def test_hard_levels_make_finite_plans(sampler, options, sigma):
    """A plan is refused where a number is not finite.  D-based methods forget what they were."""
    plan = pydiffcore.trace(sampler, levels.explicit(sigma, process.vp()), **options)
    if (sampler, options) in D_BASED:
        assert plan.x0_error.max() < 1e-8
        assert np.abs(plan.noise_ratio - 1).max() < 1e-8


REFUSED = [
    (s.exponential_rk, {"tableau": "rk4"}, TypeError, "expected a samplers.ExponentialTableau"),
    (s.exponential_rk, {"predict": "v"}, ValueError, "predict is 'v', expected one of 'x0', 'eps'"),
    (s.res_2s, {"c2": 0.0}, ValueError, "c2 is 0.0"),
    (s.res_3s, {"c2": 2 / 3}, ValueError, "c2 is 0.6666"),
    (s.dpmpp_2s, {"solver": "rk"}, ValueError, "solver is 'rk'"),
    (s.dpmpp_3s, {"r1": 0.7}, ValueError, "r2 is 0.66"),
    (s.dpmpp_sde, {"r": 1.0}, ValueError, "r is 1.0"),
    (s.dpmpp_sde, {"clock": "time"}, ValueError, "clock is 'time'"),
    (s.dpmpp_2s_ancestral, {"s_noise": -1.0}, ValueError, "s_noise is -1.0"),
    (s.seeds_2, {"eta": -1.0}, ValueError, "eta is -1.0"),
    (s.dpm_solver_single, {"order": 4}, ValueError, "order is 4"),
    (s.res_2s, {"c2": 2.0}, ValueError, "c2 is 2.0, expected a number in"),
    (s.dpm_solver_single, {"solver": "rk"}, ValueError, "solver is 'rk'"),
    (s.dpm_fast, {"nfe": 1}, ValueError, "nfe is 1, expected at least 2 on karras"),
    (s.dpm_fast, {"nfe": 0}, ValueError, "nfe is 0, expected a whole number"),
]


@pytest.mark.parametrize(("sampler", "options", "error", "message"), REFUSED, ids=identity)
def test_wrong_options_are_named(sampler, options, error, message):
    with pytest.raises(error, match=message.replace(".", r"\.")):
        pydiffcore.trace(sampler, levels.karras(5), **options)


def test_noise_cannot_follow_stages_that_go_back():
    with pytest.raises(ValueError, match="hochbruck_ostermann_5 goes back within a step"):
        s.exponential.solve(
            1.0, GAUSSIAN, smooth(3), lambda *_: 0.0, et.hochbruck_ostermann_5(), eta=1.0
        )


UPWARDS = [
    (s.rk4, {}, 4),
    (s.kutta, {}, 3),
    (s.dpm_2, {}, 2),
    (s.euler_churn, {}, 1),
    (s.implicit_rk, {"tableau": s.IMPLICIT["radau_iia2"]}, 3),
    (s.res_2s, {}, 2),
    (s.res_3s, {}, 3),
    (s.res_5s, {}, 4),
    (s.dpm_solver_3, {}, 3),
    (s.dpmpp_3s, {"solver": "heun"}, 3),
    (s.dpmpp_2s, {}, 2),
    (s.dpm_solver_single, {"predict": "eps"}, 2),
    (s.dpm_fast, {}, 3),  # its last two steps lie where D hardly changes
]


@pytest.mark.parametrize(("sampler", "options", "order"), UPWARDS, ids=identity)
def test_order_upwards(sampler, options, order):
    """From data to noise: the probability-flow ODE in the other direction."""
    x = np.linspace(-1.7, 1.9, 8)[:, None]
    truth, sizes = MIXTURE.solution(x, 0.05, 10.0), [121, 241, 481]
    errors = [
        np.abs(sampler(x, MIXTURE, levels.flip(smooth(n)), None, **options) - truth).max()
        for n in sizes
    ]
    found = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert found == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize(
    ("sampler", "options"),
    [(s.seeds_2, {}), (s.dpm_solver_single, {"eta": 1.0}), (s.dpm_fast, {"eta": 1.0}),
     (s.dpm_2, {"churn": 3.0}), (s.euler_churn, {"churn": 3.0}), (s.dpmpp_sde, {})],
    ids=identity,
)  # fmt: skip
def test_noise_does_not_lead_upwards(sampler, options):
    with pytest.raises(ValueError, match="rises"):
        pydiffcore.trace(sampler, levels.flip(smooth(5)), **options)
