# SPDX-License-Identifier: Apache-2.0
"""Processes against high-precision evaluation of their definitions."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydiffcore import process as processes

CONTINUOUS = {
    "vp": processes.vp(),
    "vp_constant": processes.vp(2.0, 2.0),
    "sub_vp": processes.sub_vp(),
    "ve": processes.ve(),
    "ve_sigma": processes.ve(0.01, 50.0, label="sigma"),
    "ve_sqrt": processes.ve_sqrt(),
    "edm": processes.edm(),
    "flow": processes.flow(),
    "cosmos": processes.cosmos(),
    "tangent": processes.tangent(),
    "tangent_shifted": processes.tangent(0.25),
    "cascade": processes.cascade(),
    "cascade_shifted": processes.cascade(2.0),
    "vp_between": processes.vp_between(),
    "azula_vp": processes.azula_vp(),
    "azula_cosine": processes.azula_cosine(),
    "azula_rectified": processes.azula_rectified(),
    "azula_decay": processes.azula_decay(0.01, 0.02, 0.3),
}
TABLES = {
    "linear": processes.discrete(processes.linear_betas()),
    "scaled": processes.discrete(processes.scaled_linear_betas()),
    "cosine": processes.discrete(processes.cosine_betas(100)),
    "iddpm": processes.iddpm(),
    "single": processes.discrete([0.3]),
    "zero_terminal": processes.discrete([0.1, 0.2, 0.5, 1.0]),
}
ALL = CONTINUOUS | TABLES


def beta_integral(t):
    return mp.quad(lambda u: mp.mpf("0.1") + u * mp.mpf("19.9"), [0, t])


# Marginal scales (alpha, sigma) from the defining integral, and (f, g^2) as the papers state them.
DEFINITIONS = {
    "vp": (
        lambda t: mp.exp(-beta_integral(t) / 2),
        lambda t: mp.sqrt(1 - mp.exp(-beta_integral(t))),
        lambda t: -(mp.mpf("0.1") + t * mp.mpf("19.9")) / 2,
        lambda t: mp.mpf("0.1") + t * mp.mpf("19.9"),
    ),
    "sub_vp": (
        lambda t: mp.exp(-beta_integral(t) / 2),
        lambda t: 1 - mp.exp(-beta_integral(t)),
        lambda t: -(mp.mpf("0.1") + t * mp.mpf("19.9")) / 2,
        lambda t: (mp.mpf("0.1") + t * mp.mpf("19.9")) * (1 - mp.exp(-2 * beta_integral(t))),
    ),
    "ve": (
        lambda t: mp.mpf(1),
        lambda t: mp.mpf("0.02") * mp.mpf(5000) ** t,
        lambda t: mp.mpf(0),
        lambda t: (mp.mpf("0.02") * mp.mpf(5000) ** t) ** 2 * 2 * mp.log(5000),
    ),
    "ve_sqrt": (
        lambda t: mp.mpf(1),
        lambda t: mp.sqrt(t),
        lambda t: mp.mpf(0),
        lambda t: mp.mpf(1),
    ),
    "edm": (lambda t: mp.mpf(1), lambda t: t, lambda t: mp.mpf(0), lambda t: 2 * t),
    "flow": (lambda t: 1 - t, lambda t: t, lambda t: -1 / (1 - t), lambda t: 2 * t / (1 - t)),
    "cosmos": (
        lambda t: mp.mpf(1),
        lambda t: t / (1 - t),
        lambda t: mp.mpf(0),
        lambda t: 2 * t / (1 - t) ** 3,
    ),
    "tangent": (
        lambda t: mp.cos(mp.pi / 2 * t),
        lambda t: mp.sin(mp.pi / 2 * t),
        lambda t: -mp.pi / 2 * mp.tan(mp.pi / 2 * t),
        lambda t: mp.pi * mp.tan(mp.pi / 2 * t),
    ),
}


def from_alpha_bar(alpha_bar):
    """A variance-preserving process by its definition: f = abar' / (2 abar), g^2 = -2 f."""

    def drift(t):
        return mp.diff(alpha_bar, t, h=mp.mpf(10) ** -12) / alpha_bar(t) / 2

    return (
        lambda t: mp.sqrt(alpha_bar(t)),
        lambda t: mp.sqrt(1 - alpha_bar(t)),
        drift,
        lambda t: -2 * drift(t),
    )


def from_scales(alpha, sigma):
    """Any process by its definition: f = alpha' / alpha, g^2 = (sigma^2)' - 2 f sigma^2."""

    def slope(curve, t):
        return mp.diff(curve, t, h=mp.mpf(10) ** -12)

    return (
        alpha,
        sigma,
        lambda t: slope(alpha, t) / alpha(t),
        lambda t: 2 * sigma(t) * (slope(sigma, t) - slope(alpha, t) / alpha(t) * sigma(t)),
    )


def shifted_cosine(shift, offset):
    """1 - abar over abar, times shift squared, is the squared level."""

    def alpha_bar(t):
        angle = mp.pi / 2 / (1 + offset)
        abar = mp.cos((t + offset) * angle) ** 2 / mp.cos(offset * angle) ** 2
        return abar / (abar + shift**2 * (1 - abar))

    return from_alpha_bar(alpha_bar)


MILLI, ONE = mp.mpf(0.001), mp.mpf(1)


def decay(t):
    return (1 - mp.mpf(0.3) ** t) / (1 - mp.mpf(0.3))


def kept(alpha):
    return from_scales(alpha, lambda t: mp.sqrt(1 - alpha(t) ** 2 + MILLI**2))


DEFINITIONS |= {
    "tangent_shifted": shifted_cosine(mp.mpf(0.25), mp.mpf(0)),
    "cascade": shifted_cosine(ONE, mp.mpf(0.008)),
    "cascade_shifted": shifted_cosine(mp.mpf(2), mp.mpf(0.008)),
    "azula_vp": kept(lambda t: mp.exp(t**2 * mp.log(MILLI))),
    "azula_cosine": kept(lambda t: mp.cos(t * mp.acos(MILLI))),
    "azula_rectified": from_scales(lambda t: 1 - t + t * MILLI, lambda t: t + (1 - t) * MILLI),
    "azula_decay": from_scales(
        lambda t: 1 - decay(t) * (1 - mp.mpf(0.01)),
        lambda t: mp.mpf(0.02) * (1 - decay(t)) + decay(t),
    ),
}


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("t", [1e-5, 1e-3, 0.1, 0.5, 0.9, 0.999])
def test_scales_and_sde_match_their_definitions(name, t):
    process = CONTINUOUS[name]
    alpha, sigma, drift, diffusion2 = DEFINITIONS[name]
    with mp.workdps(40):
        at = mp.mpf(t)
        level = sigma(at) / alpha(at)
        expected = {
            "alpha": alpha(at),
            "sigma": sigma(at),
            "level": level,
            "d_alpha": mp.diff(alpha, at, h=mp.mpf(10) ** -12),
            "d_level": mp.diff(lambda u: sigma(u) / alpha(u), at, h=mp.mpf(10) ** -12),
            "drift": drift(at),
            "diffusion": mp.sqrt(diffusion2(at)),
        }
    for quantity, value in expected.items():
        got = getattr(process, quantity)(t)
        assert got == pytest.approx(float(value), rel=3e-13, abs=1e-300), quantity
    # A time is as good as the level tells it: near t = 0 azula's levels hardly move.
    blur = 4e-16 * float(level / expected["d_level"])
    assert process.time(float(level)) == pytest.approx(t, rel=1e-12, abs=blur)
    assert process.alpha_at(float(level)) == pytest.approx(float(expected["alpha"]), rel=1e-13)


@pytest.mark.parametrize("name", ALL)
def test_noise_variance_obeys_the_sde(name):
    """dV/dt = 2 f V + g^2, with dV/dt from central differences in extended precision of t."""
    process = ALL[name]
    low, high = process.t_min, process.t_max
    t = low + (high - low) * np.array([0.137, 0.41, 0.763]) if high > low else np.array([-0.5])
    h = 1e-6 * max(high - low, 1.0)
    slope = (process.sigma(t + h) ** 2 - process.sigma(t - h) ** 2) / (2 * h)
    variance = process.sigma(t) ** 2
    stated = 2 * process.drift(t) * variance + process.diffusion(t) ** 2
    np.testing.assert_allclose(stated, slope, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
@given(exponent=st.floats(-4.0, 4.0))
def test_time_inverts_level(name, exponent):
    process, sigma = ALL[name], 10.0**exponent
    t = process.time(sigma)
    # Rounding of t itself moves the level by eps * |d level / d log t|.
    slack = 1e-13 * sigma + 4e-16 * abs(t) * process.d_level(t) + 4e-16 * process.d_level(t)
    assert abs(process.level(t) - sigma) <= slack
    assert process.sigma(t) == pytest.approx(sigma * process.alpha_at(sigma), rel=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_arrays_scalars_and_shapes(name):
    process = ALL[name]
    t = np.full((2, 3), 0.5 * (process.t_min + process.t_max))
    curves = "alpha sigma level d_alpha d_level diffusion label drift".split()
    for quantity in curves:
        curve = getattr(process, quantity)
        assert curve(t).shape == (2, 3), quantity
        assert curve(t).dtype == np.float64, quantity
        assert np.ndim(curve(float(t[0, 0]))) == 0, quantity
        assert curve(t)[1, 2] == curve(float(t[0, 0])), quantity
    assert np.ndim(process.time(1.0)) == 0
    assert process.time(np.ones((2, 3))).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "t"),
    [("vp", 0.0), ("sub_vp", 0.0), ("ve_sqrt", 0.0), ("edm", 0.0), ("flow", 0.0)]
    + [("cosmos", 0.0), ("tangent", 0.0), ("cascade", 0.0), ("cascade_shifted", 0.0)]
    + [(f"azula_{name}", -1.0) for name in ("vp", "cosine", "rectified", "decay")]
    + [(name, -1.0) for name in TABLES]
    + [("ve", -np.inf)],
)
def test_level_zero_has_a_time(name, t):
    assert ALL[name].time(0.0) == t
    assert ALL[name].level(t) == 0.0
    assert ALL[name].sigma(t) == 0.0
    assert ALL[name].alpha(t) == 1.0
    assert not np.isnan(ALL[name].diffusion(t))


def test_infinite_levels():
    flow, table = processes.flow(), TABLES["zero_terminal"]
    angles = [(processes.tangent(), 1.0), (processes.cascade(2.0), 1.0)]
    for process, t in [(flow, 1.0), (table, 3.0), *angles]:
        assert process.level(t) == np.inf
        assert process.time(np.inf) == t
        assert process.alpha(t) == 0.0
        assert process.sigma(t) == 1.0
        assert process.drift(t) == -np.inf
        assert process.diffusion(t) == np.inf
    assert flow.d_alpha(1.0) == -1.0
    h = 1e-6
    assert table.d_alpha(3.0) == pytest.approx(-table.alpha(3.0 - h) / h, rel=1e-5)
    for name in ("azula_rectified", "azula_decay", "azula_cosine"):
        assert ALL[name].alpha(ALL[name].time(np.inf)) == pytest.approx(0.0, abs=1e-15)
    assert processes.azula_vp().time(1e200) == pytest.approx(
        float(mp.sqrt(mp.log(mp.mpf(10) ** 200 / mp.sqrt(1 + MILLI**2)) / -mp.log(MILLI)))
    )
    assert processes.vp().time(1e200) == pytest.approx(
        float((mp.sqrt(0.01 + 2 * 19.9 * mp.log(mp.mpf(10) ** 400)) - mp.mpf("0.1")) / 19.9)
    )
    assert processes.vp().time(np.inf) == np.inf


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


def test_betas_between_two_levels():
    made = processes.vp_between(0.03, 60.0, epsilon=0.01)
    assert made.level([0.01, 1.0]) == pytest.approx([0.03, 60.0], rel=1e-12)
    vp = processes.vp()
    again = processes.vp_between(float(vp.level(1e-3)), float(vp.level(1.0)))
    assert again.level(0.5) == pytest.approx(vp.level(0.5), rel=1e-10)


def test_shifts_move_the_level():
    t = np.linspace(0.1, 0.9, 5)
    for make in (processes.tangent, processes.cascade):
        np.testing.assert_allclose(make(3.0).level(t), 3.0 * make(1.0).level(t), rtol=1e-14)


def test_cascade_is_the_schedule_of_wuerstchen():
    diffusers = pytest.importorskip("diffusers")
    import torch

    theirs = diffusers.DDPMWuerstchenScheduler()
    made = processes.cascade()
    t = np.linspace(made.t_min, made.t_max, 50)
    abar = theirs._alpha_cumprod(torch.tensor(t), "cpu").double().numpy()
    np.testing.assert_allclose(made.alpha(t) ** 2, abar, rtol=1e-3)
    assert made.alpha([made.t_min, made.t_max]) ** 2 == pytest.approx([0.9999, 1e-4], rel=1e-9)


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


def test_labels():
    assert processes.vp().label(0.5) == 499.5
    assert processes.sub_vp().label(1.0) == 999.0
    assert processes.flow().label(0.25) == 250.0
    assert processes.edm().label(3.0) == 3.0
    assert processes.ve().label(0.5) == pytest.approx(np.log(np.sqrt(0.02 * 100.0) / 2))
    assert processes.cosmos().label(0.25) == processes.tangent().label(0.25) == 0.25
    assert processes.cascade().label(0.75) == 0.75
    assert processes.azula_vp().label(0.0) == pytest.approx(np.log(1e-3))
    assert processes.ve_sqrt().label(9.0) == pytest.approx(np.log(1.5))
    assert processes.ve(label="sigma").label(1.0) == pytest.approx(100.0)


def test_names_tell_processes_apart():
    assert processes.vp() == processes.vp(0.1, 20)
    assert processes.vp() != processes.vp(0.1, 19.0)
    assert processes.vp() != processes.sub_vp()
    assert processes.cascade() != processes.cascade(2.0)
    assert processes.azula_vp() != processes.azula_cosine()
    assert processes.ve() != processes.ve(label="sigma")
    betas = processes.linear_betas()
    assert processes.discrete(betas) == processes.discrete(list(betas))
    betas[500] = np.nextafter(betas[500], 1.0)
    assert processes.discrete(betas) != TABLES["linear"]
    assert len({p for p in ALL.values()}) == len(ALL)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: processes.vp(beta_min=0.0), "beta_min must be a positive finite number, got 0.0"),
        (lambda: processes.vp(beta_max=float("nan")), "beta_max .* got nan"),
        (lambda: processes.sub_vp(3.0, 2.0), "beta_max must be at least beta_min = 3.0, got 2.0"),
        (lambda: processes.vp_between(0.002, 80.0), "no rising positive beta has level 0.002"),
        (lambda: processes.vp_between(epsilon=1.0), "epsilon must lie strictly .* got 1.0"),
        (lambda: processes.tangent(0.0), "shift must be a positive finite number, got 0.0"),
        (lambda: processes.cascade(offset=-1), "offset must be .* got -1"),
        (lambda: processes.azula_vp(alpha_min=1.0), "alpha_min must be below 1, got 1.0"),
        (lambda: processes.azula_cosine(sigma_min=0.0), "sigma_min must be a positive"),
        (lambda: processes.azula_decay(gamma=1.0), "gamma must lie strictly .* got 1.0"),
        (lambda: processes.ve(2.0, 1.0), "sigma_min must be below sigma_max, got 2.0 and 1.0"),
        (lambda: processes.ve(label="eps"), "label must be 'log' or 'sigma', got 'eps'"),
        (lambda: processes.ve_sqrt(-1.0), "sigma_min"),
        (lambda: processes.discrete([]), "betas must have shape"),
        (lambda: processes.discrete([[0.1]]), "betas must have shape"),
        (lambda: processes.discrete([0.1, 1.0, 0.1]), r"betas\[1\] is"),
        (lambda: processes.discrete([1.0]), r"betas\[0\] is"),
        (lambda: processes.discrete([0.1, float("nan")]), r"betas\[1\] is .*nan"),
        (lambda: processes.discrete([0.1, 0.0]), r"betas\[1\] is"),
        (lambda: processes.linear_betas(0), "n must be a positive integer, got 0"),
        (lambda: processes.linear_betas(10, 0.0, 0.1), "start must lie strictly"),
        (lambda: processes.cosine_betas(10, offset=0.0), "offset"),
        (lambda: processes.iddpm(2.5), "m must be a positive integer, got 2.5"),
        (lambda: processes.iddpm(c1=-1.0), "c1 must be"),
    ],
)
def test_bad_parameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
