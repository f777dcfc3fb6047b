# SPDX-License-Identifier: Apache-2.0
"""Levels against their formulas in high precision and against the tables of diffusers."""

import dataclasses
import math
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pydiffcore import levels, process

LINEAR = process.discrete(process.linear_betas())
RULES = {
    "karras": levels.karras,
    "exponential": levels.exponential,
    "ve": levels.ve,
    "iddpm": levels.iddpm,
    "vp": lambda n, **o: levels.uniform_t(n, process.vp(), **o),
    "sub_vp": lambda n, **o: levels.uniform_t(n, process.sub_vp(), **o),
    "ve_t": lambda n, **o: levels.uniform_t(n, process.ve(), **o),
    "flow": lambda n, **o: levels.uniform_t(n, process.flow(), **o),
    "trailing": lambda n, **o: levels.trailing(n, LINEAR, **o),
    "leading": lambda n, **o: levels.leading(n, LINEAR, steps_offset=1, **o),
    "linspace": lambda n, **o: levels.linspace(n, LINEAR, drop_last=True, **o),
    "polyexponential": lambda n, **o: levels.polyexponential(n, rho=1.5, **o),
    "uniform_lambda": lambda n, **o: levels.uniform_lambda(n, LINEAR, **o),
    "quadratic_t": lambda n, **o: levels.uniform_t(n, process.vp(), power=2.0, **o),
    "kl_optimal": levels.kl_optimal,
    "laplace": lambda n, **o: levels.laplace(n, sigma_max=310.0, **o),
    "beta_sigmas": levels.beta_sigmas,
    "ays": levels.ays,
    "normal": lambda n, **o: levels.normal(n, process.cosmos(), **o),
    "sgm_uniform": lambda n, **o: levels.sgm_uniform(n, LINEAR, **o),
    "simple": lambda n, **o: levels.simple(n, LINEAR, **o),
    "flow_shift": lambda n, **o: levels.flow_shift(n, 3.0, **o),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n", [1, 2, 5, 18, 100])
def test_every_rule_descends_to_zero_in_n_steps(rule, n):
    made = RULES[rule](n)
    assert len(made) == n
    assert made.sigma.shape == made.t.shape == made.alpha.shape == (n + 1,)
    assert made.sigma[-1] == 0.0
    assert np.all(np.diff(made.sigma) < 0.0)
    assert np.all(made.sigma[:-1] > 0.0)
    assert not np.isnan(made.t).any()
    steps = list(made.steps())
    assert len(steps) == n
    assert all(type(value) is float for step in steps for value in step)
    assert [a for a, _ in steps] == made.sigma[:-1].tolist()
    assert [b for _, b in steps] == made.sigma[1:].tolist()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n", [1, 2, 18])
def test_without_the_final_zero_there_are_still_n_steps(rule, n):
    open_end = RULES[rule](n, final_zero=False)
    assert len(open_end) == n
    assert open_end.sigma[-1] > 0.0
    assert open_end.sigma[0] == pytest.approx(RULES[rule](n).sigma[0], rel=1e-15)
    assert "final_zero=False" in open_end.name


def test_karras_matches_its_formula():
    with mp.workdps(40):
        high, low = mp.mpf(80) ** (mp.mpf(1) / 7), mp.mpf(0.002) ** (mp.mpf(1) / 7)
        expected = [float((high + mp.mpf(i) / 17 * (low - high)) ** 7) for i in range(18)]
    made = levels.karras(18)
    np.testing.assert_allclose(made.sigma[:-1], expected, rtol=1e-13)
    assert made.sigma[0] == 80.0
    assert made.sigma[-2] == 0.002
    assert levels.karras(1).sigma.tolist() == [80.0, 0.0]
    assert levels.karras(3, 1.0, 3.0, rho=1.0).sigma == pytest.approx([3, 2, 1, 0], abs=1e-14)


def test_exponential_and_ve_are_geometric():
    for made, low, high in ((levels.exponential(18), 0.002, 80.0), (levels.ve(18), 0.02, 100.0)):
        with mp.workdps(40):
            ratio = mp.mpf(low) / mp.mpf(high)
            expected = [float(mp.mpf(high) * ratio ** (mp.mpf(i) / 17)) for i in range(18)]
        np.testing.assert_allclose(made.sigma[:-1], expected, rtol=1e-14)
    np.testing.assert_allclose(levels.ve(18).t, levels.ve(18).sigma ** 2, rtol=1e-14)


def test_karras_tends_to_exponential_for_large_rho():
    np.testing.assert_allclose(
        levels.karras(20, rho=1e6).sigma, levels.exponential(20).sigma, rtol=1e-4
    )


@pytest.mark.parametrize(
    ("made", "t_max", "t_min"),
    [
        (process.vp(), 1.0, 1e-3),
        (process.sub_vp(), 1.0, 1e-3),
        (process.ve(), 1.0, 0.0),
        (process.flow(), 0.999, 0.001),
    ],
)
def test_uniform_t_is_uniform_in_t(made, t_max, t_min):
    chosen = levels.uniform_t(10, made)
    np.testing.assert_allclose(chosen.t[:-1], np.linspace(t_max, t_min, 10), rtol=1e-11, atol=1e-13)
    narrow = levels.uniform_t(3, made, t_min=0.2, t_max=0.6)
    np.testing.assert_allclose(narrow.t[:-1], [0.6, 0.4, 0.2], rtol=1e-12)
    assert chosen.process == made
    np.testing.assert_allclose(chosen.alpha, made.alpha(chosen.t), rtol=1e-10)


@pytest.mark.parametrize("n", [2, 7, 18, 250, 992])
def test_iddpm_takes_the_indices_of_the_paper(n):
    """Karras et al., table 1: u_j with j = floor(j0 + (M-1-j0) i / (N-1) + 1/2), j0 = 8."""
    u = process.iddpm_levels()
    j = [math.floor(8 + (999 - 8) * i / (n - 1) + 0.5) for i in range(n)]
    np.testing.assert_array_equal(levels.iddpm(n).sigma[:-1], u[j])
    np.testing.assert_array_equal(levels.iddpm(n).t[:-1], 999 - np.array(j))


SPACINGS = ["leading", "trailing", "linspace"]
COUNTS = [1, 2, 3, 7, 10, 18, 20, 50, 99, 250, 975, 994, 995, 999, 1000]


def scheduler(name, spacing, **options):
    diffusers = pytest.importorskip("diffusers")
    return getattr(diffusers, name)(timestep_spacing=spacing, **options)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("n", COUNTS)
def test_timesteps_of_diffusers_ddim(spacing, n):
    theirs = scheduler("DDIMScheduler", spacing)
    theirs.set_timesteps(n)
    ours = getattr(levels, spacing)(n, LINEAR)
    if spacing == "linspace" and n == 1:
        # One evenly spaced index is 0 there, a step that starts where nothing is noise.
        assert theirs.timesteps.tolist() == [0]
        assert ours.t[0] == 999.0
        return
    timesteps = theirs.timesteps.numpy()
    if spacing == "trailing" and n in (975, 994, 995):
        # Rounding gives one index too many there, -1.
        assert timesteps.shape == (n + 1,)
        timesteps = timesteps[:-1]
    np.testing.assert_array_equal(ours.t[:-1], timesteps)
    abar = theirs.alphas_cumprod.double().numpy()[timesteps]
    np.testing.assert_allclose(ours.sigma[:-1], np.sqrt(1 / abar - 1), rtol=2e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("final_zero", [True, False])
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("n", [1, 5, 20, 333])
def test_timesteps_and_sigmas_of_diffusers_multistep(spacing, n, final_zero):
    theirs = scheduler(
        "DPMSolverMultistepScheduler",
        spacing,
        final_sigmas_type="zero" if final_zero else "sigma_min",
        algorithm_type="dpmsolver++",
    )
    theirs.set_timesteps(n)
    options = {} if spacing == "trailing" else {"drop_last": True}
    ours = getattr(levels, spacing)(n, LINEAR, final_zero=final_zero, **options)
    np.testing.assert_array_equal(ours.t[:n], theirs.timesteps.numpy())
    np.testing.assert_allclose(ours.sigma, theirs.sigmas.numpy(), rtol=2e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("n", [2, 5, 18, 30, 999])
def test_timesteps_and_sigmas_of_diffusers_euler(spacing, n, offset):
    theirs = scheduler("EulerDiscreteScheduler", spacing, steps_offset=offset)
    theirs.set_timesteps(n)
    options = {"leading": {"steps_offset": offset}, "linspace": {"rounded": False}}
    ours = getattr(levels, spacing)(n, LINEAR, **options.get(spacing, {}))
    np.testing.assert_allclose(ours.sigma, theirs.sigmas.numpy(), rtol=2e-4)
    # Linear interpolation in sigma there, in log sigma here: fractions of an index apart.
    atol = 0.1 if spacing == "linspace" else 0.0
    np.testing.assert_allclose(ours.t[:-1], theirs.timesteps.numpy(), rtol=1e-6, atol=atol)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_karras_of_diffusers():
    theirs = scheduler("EulerDiscreteScheduler", "linspace", use_karras_sigmas=True)
    theirs.set_timesteps(20)
    ours = levels.karras(20, float(LINEAR.level(0)), float(LINEAR.level(999)))
    np.testing.assert_allclose(ours.sigma, theirs.sigmas.numpy(), rtol=2e-4)


def test_levels_are_frozen_copies():
    given_levels = np.array([3.0, 2.0, 0.0])
    made = levels.explicit(given_levels)
    given_levels[0] = 7.0
    assert made.sigma[0] == 3.0
    with pytest.raises(ValueError, match="read-only"):
        made.sigma[0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.name = "other"
    assert made == levels.explicit([3, 2, 0])
    assert hash(made) == hash(levels.explicit([3, 2, 0]))
    assert made != levels.explicit([3, 2, 0], process.flow())
    assert made != levels.explicit([3, 1, 0])


def test_explicit_keeps_what_it_gets():
    made = levels.explicit([5.0, 0.5], process.flow())
    assert made.sigma.tolist() == [5.0, 0.5]
    np.testing.assert_allclose(made.t, [5 / 6, 1 / 3], rtol=1e-15)
    np.testing.assert_allclose(made.alpha, [1 / 6, 2 / 3], rtol=1e-15)


@given(st.lists(st.floats(0.0, 1e6), min_size=2, max_size=30))
def test_explicit_accepts_exactly_the_strictly_descending(values):
    if all(a > b for a, b in pairwise(values)):
        assert levels.explicit(values).sigma.tolist() == values
    else:
        with pytest.raises(ValueError, match=r"strictly descending; sigma\[\d+\] is"):
            levels.explicit(values)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: levels.explicit([1.0]), r"at least one step, got shape \(1,\)"),
        (lambda: levels.explicit([]), "at least one step"),
        (lambda: levels.explicit([[1.0, 0.0]]), r"got shape \(1, 2\)"),
        (lambda: levels.explicit([1.0, NAN, 0.0]), r"sigma must be finite; sigma\[1\] is nan"),
        (lambda: levels.explicit([INF, 1.0]), r"finite; sigma\[0\] is inf"),
        (lambda: levels.explicit([1.0, -0.5]), r"not negative; sigma\[1\] is -0.5"),
        (lambda: levels.explicit([1.0, 1.0]), r"descending; sigma\[1\] is 1.0 after 1.0"),
        (lambda: levels.explicit([1.0, 0.0, 0.0]), r"descending; sigma\[2\]"),
        (lambda: levels.karras(0), "n must be a positive whole number of steps, got 0"),
        (lambda: levels.karras(-3), "n must be .* got -3"),
        (lambda: levels.karras(2.0), "n must be .* got 2.0"),
        (lambda: levels.karras(True), "n must be .* got True"),
        (lambda: levels.karras(5, sigma_min=NAN), "sigma_min must be positive and finite, got nan"),
        (lambda: levels.karras(5, sigma_max=INF), "sigma_max must be positive and finite, got inf"),
        (lambda: levels.karras(5, sigma_min=0.0), "sigma_min must be positive"),
        (lambda: levels.karras(5, 2.0, 1.0), "sigma_min must be below sigma_max"),
        (lambda: levels.karras(5, rho=0.0), "rho must be positive and finite, got 0.0"),
        (lambda: levels.exponential(0), "n must be"),
        (lambda: levels.ve(3, -1.0), "sigma_min must be positive"),
        (lambda: levels.uniform_t(3, process.vp(), 0.5, 0.5), "t_min must be below t_max"),
        (lambda: levels.uniform_t(3, process.vp(), NAN), "t_min must be below t_max"),
        (lambda: levels.uniform_t(3, process.flow(), t_max=1.0), r"finite; sigma\[0\] is inf"),
        (lambda: levels.iddpm(993), "asks for 993 levels, but .* has 992 entries"),
        (lambda: levels.iddpm(3, 1.0, 1.0001), "has 0 entries"),
        (lambda: levels.iddpm(3, process=process.vp()), "must be tabulated"),
        (lambda: levels.trailing(3, process.vp()), "process must be tabulated .* got vp"),
        (lambda: levels.trailing(1001, LINEAR), "at most the 1000 entries"),
        (lambda: levels.leading(0, LINEAR), "n must be"),
        (lambda: levels.leading(3, LINEAR, steps_offset=-1), "steps_offset"),
        (lambda: levels.leading(1000, LINEAR, steps_offset=1), "past the last entry 999"),
        (lambda: levels.linspace(1001, LINEAR), "at most"),
        (lambda: levels.explicit([1, 2, 2], rising=True), r"rising or falling; sigma\[2\]"),
        (lambda: levels.explicit([1, 0, 2], rising=True), r"rising or falling; sigma\[2\]"),
        (lambda: list(levels.explicit([1, 2, 0], rising=True).steps()), "restart takes such"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_levels_may_rise_where_asked():
    made = levels.explicit([2.0, 1.0, 1.5, 0.0], rising=True)
    assert list(made.jumps()) == [(2.0, 1.0), (1.0, 1.5), (1.5, 0.0)]


def test_zero_terminal_signal_starts_from_a_level_that_stands_for_infinity():
    made = levels.trailing(2, process.discrete([0.1, 0.5, 1.0]))
    assert made.sigma[0] == 1e12
    assert made.alpha[0] == pytest.approx(0.0, abs=1e-11)


def test_levels_that_may_rise_and_do_not_are_ordinary_ones():
    falling = levels.explicit([80.0, 10.0, 1.0, 0.0], rising=True)
    assert not falling.rising
    assert falling == levels.explicit([80.0, 10.0, 1.0, 0.0])
    assert list(falling.steps()) == [(80.0, 10.0), (10.0, 1.0), (1.0, 0.0)]
    assert levels.explicit([1.0, 3.0], rising=True).rising


def test_levels_as_an_array_are_sigma():
    given = levels.karras(5)
    assert np.asarray(given).dtype == np.float64
    assert np.array_equal(np.asarray(given), given.sigma)
    single = np.array(given, np.float32)
    single[0] = 1.0
    assert given.sigma[0] == 80.0


@pytest.mark.parametrize("rule", [levels.karras, levels.exponential, levels.kl_optimal])
def test_ends_that_are_no_numbers(rule):
    with pytest.raises(TypeError, match="sigma_min is 'a', expected a number"):
        rule(5, "a", 80.0)
    with pytest.raises(TypeError, match="sigma_max is None, expected a number"):
        rule(5, 0.1, None)
    assert rule(5, np.float32(0.5), np.int64(80)) == rule(5, 0.5, 80.0)


def test_a_power_that_is_no_number():
    with pytest.raises(TypeError, match="rho is '7', expected a number"):
        levels.karras(5, rho="7")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64])
def test_levels_of_a_tensor(dtype):
    given = torch.tensor([80, 10, 1, 0], dtype=dtype)
    assert levels.explicit(given) == levels.explicit([80.0, 10.0, 1.0, 0.0])
    assert levels.explicit(list(given)) == levels.explicit([80.0, 10.0, 1.0, 0.0])
    times = torch.tensor([0.75, 0.5], dtype=torch.bfloat16)
    assert levels.explicit_t(times, process.flow()).sigma.tolist() == [3.0, 1.0, 0.0]


def test_levels_that_are_no_numbers():
    with pytest.raises(TypeError, match="sigmas is str 'karras', expected a list"):
        levels.explicit("karras")
    with pytest.raises(TypeError, match=r"sigmas is list .*, expected a list of"):
        levels.explicit([1.0, "a"])
