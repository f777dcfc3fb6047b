# SPDX-License-Identifier: Apache-2.0
"""Consistency and progressive distillation on Gaussian data, whose ODE has a closed form."""

import numpy as np
import pytest
import torch

from pydiffcore import exact, prediction, process
from pydiffcore.ops.noise import TRAINING, normal
from pydiffcore.train import weights
from pydiffcore.train.distil import consistency_terms, progressive_terms

LAW = exact.gaussian(np.full((2, 3), 0.2), np.full((2, 3), 0.6))
LOW = 0.01
KIND = prediction.consistency(0.5, LOW)
SEEDS = range(16)
X0 = torch.from_numpy(LAW.sample(16, np.random.default_rng(0))).float()
SIGMA = np.geomspace(0.3, 8, 16)
Z = normal(SEEDS, (2, 3), purpose=TRAINING).double()


def network_of(D, kind=KIND):
    """The network whose denoiser is D(x, sigma), in float64; its label gives the level away."""

    def network(x, c_noise, sigma):
        c_skip, c_out, c_in, _ = (
            torch.from_numpy(c)[:, None, None] for c in kind.coefficients(sigma)
        )
        x = x.double() / c_in
        return (D(x, torch.from_numpy(sigma)) - c_skip * x) / c_out

    return network


def solution(x, sigma):
    return LAW.solution(x, sigma, torch.full_like(sigma, LOW))


def teacher(x, sigma):
    return LAW(x.double(), sigma.double())


def consistency(D, ratio, **kw):
    following = SIGMA * ratio
    fast, slow = network_of(D), network_of(D)
    return consistency_terms(
        lambda x, c: fast(x, c, SIGMA), lambda x, c: slow(x, c, following), X0, SIGMA, following,
        KIND, seeds=SEEDS, weight=weights.uniform(), **kw,
    )  # fmt: skip


def test_the_ode_s_solution_is_least_under_distillation():
    """It loses only the error of Heun's step, of third order: 4^3 = 64 times less in the square."""
    errors = [consistency(solution, r, teacher=teacher).mean() for r in (0.8, 0.9)]
    assert errors[0] < 1e-4
    assert 40 < errors[0] / errors[1] < 100
    assert consistency(lambda x, s: LAW(x, s), 0.9, teacher=teacher).mean() > 100 * errors[1]


@pytest.mark.parametrize("huber", [None, 0.03])
def test_consistency_training_is_its_formula(huber):
    following = SIGMA * 0.7
    terms = consistency(teacher, 0.7, huber=huber)
    x, lower = (X0 + torch.from_numpy(s)[:, None, None] * Z for s in (SIGMA, following))
    square = (
        teacher(x, torch.from_numpy(SIGMA)) - teacher(lower, torch.from_numpy(following))
    ) ** 2
    c_out2 = torch.from_numpy(KIND.coefficients(SIGMA)[1] ** 2)
    m = square.flatten(1).mean(1) / c_out2
    expected = m if huber is None else 2 * huber * ((m + huber**2).sqrt() - huber)
    torch.testing.assert_close(terms, expected * c_out2, rtol=1e-4, atol=1e-8)


def test_the_target_has_no_gradient():
    scale = torch.ones((), requires_grad=True)
    following = SIGMA * 0.7
    for fast_learns in (True, False):
        scale.grad = None
        loss = consistency_terms(
            lambda x, c: scale * x if fast_learns else x + 0 * scale, lambda x, c: scale * x,  # noqa: B023
            X0, SIGMA, following, KIND, seeds=SEEDS,
        ).mean()  # fmt: skip
        loss.backward()
        assert (scale.grad != 0) == fast_learns


@pytest.mark.parametrize("kind", [prediction.v(process.vp()), prediction.edm()])
@pytest.mark.parametrize("last", [0.5, 0.0])
def test_student_s_step_is_the_teacher_s_two(kind, last):
    """No loss for the D whose Euler step lands where the teacher's two Euler steps do."""
    middle, end = SIGMA * 0.75, SIGMA * last

    def student(x, sigma):
        s, m, e = (torch.from_numpy(a)[:, None, None] for a in (SIGMA, middle, end))
        D = teacher(x, sigma)
        half = x + (m - s) * (x - D) / s
        D = teacher(half, torch.from_numpy(middle))
        landed = half + (e - m) * (half - D) / m
        return x - s * (landed - x) / (e - s)

    made = network_of(student, kind)
    given = (teacher, X0, SIGMA, middle, end, kind)
    terms = progressive_terms(
        lambda x, c: made(x, c, SIGMA), *given, seeds=SEEDS, weight=weights.truncated_snr()
    )
    assert float(terms.max()) < 1e-8
    own = network_of(teacher, kind)
    assert float(progressive_terms(lambda x, c: own(x, c, SIGMA), *given, seeds=SEEDS).min()) > 1e-6


def test_what_is_wrong_is_named():
    with pytest.raises(
        ValueError, match="sigma_next must have, for each sample, a level below sigma"
    ):
        consistency(teacher, 1.0)
    with pytest.raises(
        ValueError, match="sigma_last must have, for each sample, a level below sigma_middle"
    ):
        progressive_terms(
            lambda x, c: x, teacher, X0, SIGMA, SIGMA / 2, SIGMA / 2, KIND, seeds=SEEDS
        )
