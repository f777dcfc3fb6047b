# SPDX-License-Identifier: Apache-2.0
"""Processes against high-precision evaluation of their definitions."""

import mpmath as mp
import numpy as np
import pytest
from process.cases import ALL, CONTINUOUS, MILLI


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


def decay(t):
    return (1 - mp.mpf(0.3) ** t) / (1 - mp.mpf(0.3))


def kept(alpha):
    return from_scales(alpha, lambda t: mp.sqrt(1 - alpha(t) ** 2 + MILLI**2))


DEFINITIONS |= {
    "tangent_shifted": shifted_cosine(mp.mpf(0.25), mp.mpf(0)),
    "cascade": shifted_cosine(mp.mpf(1), mp.mpf(0.008)),
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
