# SPDX-License-Identifier: Apache-2.0
"""Processes: times and levels, their ends, labels and names."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from process.cases import ALL, MILLI, TABLES

from pydiffcore import process as processes


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
