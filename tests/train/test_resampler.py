# SPDX-License-Identifier: Apache-2.0
"""Importance-sampled timesteps: probabilities, unbiasedness, state, ranks."""

import numpy as np
import pytest
import torch
from scipy import stats

from pydiffcore import process
from pydiffcore.train.resampler import Resampler

TABLE = process.discrete(process.linear_betas(12))
SCALE = np.geomspace(0.1, 5, 12)


def warmed(rounds=10, **kw):
    """A resampler that has seen losses of very different sizes."""
    made, generator = Resampler(TABLE, **kw), np.random.default_rng(0)
    for _ in range(rounds):
        made.update(np.arange(12), SCALE * generator.uniform(0.5, 1.5, 12))
    return made


def test_uniform_until_every_timestep_has_its_history():
    made = warmed(9)
    made.update(np.arange(11), np.ones(11))
    assert made.probabilities.tolist() == [1 / 12] * 12
    made.update([11], torch.ones(1))
    assert np.ptp(made.probabilities) > 0.1


def test_probabilities_are_the_roots_of_the_last_second_moments():
    made, losses = Resampler(TABLE), np.random.default_rng(1).uniform(0, 3, (17, 12))
    for row in losses:
        made.update(np.arange(12), torch.from_numpy(row).requires_grad_())
    root = np.sqrt(np.mean(losses[-10:] ** 2, axis=0))
    expected = 0.999 * root / root.sum() + 0.001 / 12
    np.testing.assert_allclose(made.probabilities, expected, rtol=1e-12)
    assert made.probabilities.sum() == pytest.approx(1)


def test_expectation_is_unchanged():
    """The mean of w f under p is the plain mean of f; in stratified draws too, to a few ends."""
    made, f = warmed(), np.sin(np.arange(12.0)) + 2
    seen = {}
    draw = made.sample(range(4000))
    for i, w in zip(draw.index, draw.importance, strict=True):
        seen.setdefault(i, w)
        assert seen[i] == w
    p = made.probabilities
    assert sum(p[i] * w * f[i] for i, w in seen.items()) == pytest.approx(f.mean(), rel=1e-12)
    values = draw.importance * f[draw.index]
    # Of stratified draws only those at the 11 edges between timesteps are random.
    assert abs(values.mean() - f.mean()) < 11 * values.max() / 4000
    assert abs(f[draw.index].mean() - f.mean()) > 22 * values.max() / 4000


def test_draws_follow_the_probabilities():
    made = warmed()
    index = np.array([made.sample([seed]).index[0] for seed in range(3000)])
    expected = 3000 * made.probabilities
    assert stats.chisquare(np.bincount(index, minlength=12), expected).pvalue > 1e-3
    draw = made.sample(range(50))
    assert np.array_equal(draw.sigma, TABLE.level(draw.index))
    assert (np.diff(draw.index) >= 0).all()  # stratified in the order of the batch


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_draw_what_one_would(ranks):
    made, k = warmed(), 18 // ranks
    whole = made.sample(range(18), 3)
    parts = [made.sample(range(r * k, (r + 1) * k), 3, of=(r * k, 18)) for r in range(ranks)]
    for field in ("index", "sigma", "importance"):
        joined = np.concatenate([getattr(part, field) for part in parts])
        assert np.array_equal(joined, getattr(whole, field))


def test_state_is_kept():
    made, other = warmed(13), Resampler(TABLE)
    state = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    other.load_state_dict(state)
    for each in (made, other):
        each.update([3, 3, 5], [9.0, 8.0, 7.0])
    assert np.array_equal(made.probabilities, other.probabilities)
    assert not np.array_equal(made.probabilities, warmed(13).probabilities)
    assert torch.equal(state["losses"], torch.from_numpy(warmed(13)._losses))


def test_losses_that_are_not_finite_are_left_out():
    made = warmed()
    before = made.probabilities
    made.update([1, 2], [np.nan, np.inf])
    assert np.array_equal(made.probabilities, before)


def test_losses_of_zero_are_uniform():
    made = Resampler(TABLE, history=1)
    made.update(np.arange(12), np.zeros(12))
    assert made.probabilities.tolist() == [1 / 12] * 12


@pytest.mark.parametrize(
    ("made", "match"),
    [
        (lambda: Resampler(process.vp()), "process is vp"),
        (lambda: Resampler(TABLE, history=0), "history is 0"),
        (lambda: Resampler(TABLE, uniform=0), "uniform is 0, expected a share"),
        (lambda: Resampler(TABLE, uniform=1.5), "uniform is 1.5"),
        (lambda: warmed().update([1], [1.0, 2.0]), r"losses has shape \(2,\)"),
        (lambda: warmed().update([12], [1.0]), "index is not within 0 … 11"),
        (
            lambda: warmed().load_state_dict(Resampler(TABLE, history=3).state_dict()),
            r"losses has shape \(12, 3\), expected \(12, 10\)",
        ),
    ],
)
def test_what_is_wrong_is_named(made, match):
    with pytest.raises(ValueError, match=match):
        made()
