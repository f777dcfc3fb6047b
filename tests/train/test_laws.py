# SPDX-License-Identifier: Apache-2.0
"""Laws of the training levels: what is drawn, the three functions, stratification, names."""

import functools
import math
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
import torch
from k_diffusion_pieces import pieces
from scipy import integrate, stats

from pydiffcore import process
from pydiffcore.train import laws

VP = process.vp()
CONTINUOUS = [
    laws.lognormal(-0.8, 1.6),
    laws.split_lognormal(-0.5, 0.4, 1.5),
    laws.loguniform(0.02, 100),
    laws.log_logistic(0.3, 0.7),
    laws.log_logistic(0.0, 0.5, 0.01, 50),
    laws.v_diffusion(0.5),
    laws.v_diffusion(1.0, 1e-3, 1e3),
    laws.cosine_interpolated(128, 32, 512, 0.5),
    laws.uniform_t(VP),
    laws.uniform_t(process.sub_vp()),
    laws.uniform_t(process.ve()),
    laws.likelihood(VP),
    laws.likelihood(process.sub_vp()),
    laws.uniform_flow(),
    laws.logit_normal(0.5, 0.8),
    laws.mode(1.29),
    laws.mode(-0.6),
    laws.shifted(laws.mode(0.8), 3.0),
]
TABLES = [
    laws.discrete_uniform(process.discrete(process.linear_betas(200))),
    laws.discrete_uniform(process.iddpm(100)),
    laws.geometric(10, 0.01, 1.0),
]
EVERY = CONTINUOUS + TABLES


@pytest.fixture
def peer():
    """diffusers' functions for training."""
    return pytest.importorskip("diffusers.training_utils", reason="diffusers is not installed")


def name(law):
    return law.name


@functools.cache
def shares():
    """8000 independent draws, each the only one of its batch."""
    return np.array([laws.stratified([seed])[0] for seed in range(8000)])


def drawn(law):
    sigma = law.quantile(shares())
    assert [law.sample([seed])[0] for seed in range(20)] == sigma[:20].tolist()
    return sigma


@pytest.mark.parametrize("law", CONTINUOUS, ids=name)
def test_draws_follow_the_cdf(law):
    """KS with 8000 draws: sees a cdf that is off by 0.03 anywhere with a power above 0.99."""
    sigma = drawn(law)
    assert stats.kstest(sigma, law.cdf).pvalue > 1e-3
    assert stats.kstest(sigma, lambda s: np.clip(law.cdf(s) + 0.03, 0, 1)).pvalue < 1e-3


@pytest.mark.parametrize("law", TABLES, ids=name)
def test_draws_of_a_table_take_every_level_alike(law):
    """Chi-squared over 10 groups of levels, 8000 draws: 3 % more of one group's share is seen."""
    group = np.searchsorted(law.levels, drawn(law)) * 10 // law.levels.size
    assert stats.chisquare(np.bincount(group, minlength=10)).pvalue > 1e-3
    assert set(law.sample(range(5000))) == set(law.levels)


@pytest.mark.parametrize("law", CONTINUOUS, ids=name)
def test_cdf_is_the_inverse_of_the_quantile(law):
    u = np.concatenate([[1e-9, 1e-5], np.linspace(0.001, 0.999, 999), [1 - 1e-5]])
    sigma = law.quantile(u)
    assert (np.diff(sigma) > 0).all()
    np.testing.assert_allclose(law.cdf(sigma), u, rtol=1e-9, atol=1e-14)
    assert law.quantile(0.5) == pytest.approx(float(law.quantile([0.5])[0]), rel=1e-15)


@pytest.mark.parametrize("law", CONTINUOUS, ids=name)
def test_density_integrates_to_the_cdf(law):
    points = law.quantile(np.array([1e-7, 0.01, 0.3, 0.5, 0.8, 0.99, 1 - 1e-7]))
    x = np.log(points)
    for (a, b), (low, high) in zip(pairwise(x), pairwise(points), strict=True):
        share = integrate.quad(lambda s: law.density(np.exp(s)), a, b, epsabs=1e-11)[0]
        assert share == pytest.approx(law.cdf(high) - law.cdf(low), abs=1e-8)
    ends = law.quantile(np.array([0.0, 1.0]))
    assert law.cdf(ends).tolist() == pytest.approx([0, 1], abs=1e-12)
    assert law.density(0.5 * ends[0]) <= 1e-12
    assert law.density(2 * ends[1]) <= 1e-12


@pytest.mark.parametrize("law", TABLES, ids=name)
def test_functions_of_a_table(law):
    size = law.levels.size
    assert law.density(law.levels).sum() == pytest.approx(1)
    assert law.density(law.levels[3] * 1.001) == 0
    np.testing.assert_allclose(law.cdf(law.levels), np.arange(1, size + 1) / size)
    assert np.array_equal(law.quantile((np.arange(size) + 0.5) / size), law.levels)
    assert law.quantile(1.0) == law.levels[-1]


@pytest.mark.parametrize("law", EVERY, ids=name)
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_draw_what_one_would(law, ranks):
    whole = law.sample(range(100, 118), stream=7)
    k = 18 // ranks
    parts = [
        law.sample(range(100 + r * k, 100 + (r + 1) * k), 7, of=(r * k, 18)) for r in range(ranks)
    ]
    assert whole.dtype == np.float64
    assert np.array_equal(np.concatenate(parts), whole)
    one = [law.sample([100 + i], 7, of=(i, 18))[0] for i in range(18)]
    assert np.array_equal(one, whole)


@pytest.mark.parametrize("law", CONTINUOUS, ids=name)
def test_samples_are_stratified_in_the_order_of_the_batch(law):
    share = law.cdf(law.sample(range(64))) * 64
    assert np.floor(share).astype(int).tolist() == list(range(64))
    assert np.ptp(share % 1) > 0.5


def test_lognormal_levels_are_the_same_bits_as_the_formula_in_torch():
    from pydiffcore.ops.noise import LEVEL, normal

    z = normal(range(5, 42), (), purpose=LEVEL, stream=3).double()
    u = (torch.arange(37) + torch.special.ndtr(z).clamp(1e-6, 1 - 1e-6)) / 37
    expected = torch.exp(-0.8 + 1.6 * torch.special.ndtri(u)).numpy()
    assert np.array_equal(laws.lognormal(-0.8, 1.6).sample(range(5, 42), 3), expected)


U = np.linspace(0.01, 0.99, 99)


def test_one_law_by_two_names():
    """The identities of the package's docstring, each from its own formula."""
    time = process.flow().level
    np.testing.assert_allclose(laws.uniform_flow().quantile(U), laws.log_logistic().quantile(U))
    t = 1 / (1 + np.exp(-(0.5 + 0.8 * stats.norm.ppf(U))))
    np.testing.assert_allclose(laws.logit_normal(0.5, 0.8).quantile(U), time(t))
    cosmap = 1 - 1 / (np.tan(0.5 * np.pi * U) + 1)
    np.testing.assert_allclose(laws.v_diffusion(1.0).quantile(U), time(cosmap))
    t = time(3 * U / (1 + 2 * U))
    np.testing.assert_allclose(laws.shifted(laws.uniform_flow(), 3).quantile(U), t)
    np.testing.assert_allclose(laws.mode(0.0).quantile(U), laws.uniform_flow().quantile(U))
    same = laws.split_lognormal(0.2, 0.7, 0.7).quantile(U)
    np.testing.assert_allclose(same, laws.lognormal(0.2, 0.7).quantile(U))
    same = laws.cosine_interpolated(64, 64, 64, 1.0, 1e-6, 1e6).quantile(U)
    np.testing.assert_allclose(same, laws.v_diffusion(1.0).quantile(U), rtol=1e-3)
    same = laws.uniform_t(process.ve(0.1, 10), 0.0, 1.0).quantile(U)
    np.testing.assert_allclose(same, laws.loguniform(0.1, 10).quantile(U))


@pytest.mark.parametrize("diffusion", [VP, process.sub_vp(), process.ve()], ids=name)
def test_likelihood_density_is_proportional_to_g_squared_over_variance(diffusion):
    law = laws.likelihood(diffusion, 1e-3)
    t = np.linspace(0.01, 0.99, 50)
    sigma = diffusion.level(t)
    of_time = law.density(sigma) * diffusion.d_level(t) / sigma
    ratio = of_time / (diffusion.diffusion(t) / diffusion.sigma(t)) ** 2
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-10)
    total = integrate.quad(
        lambda t: (diffusion.diffusion(t) / diffusion.sigma(t)) ** 2, 1e-3, 1, limit=200
    )[0]
    assert ratio[0] == pytest.approx(1 / total, rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        ("logit_normal", laws.logit_normal(0.3, 0.9)),
        ("mode", laws.mode(1.1)),
        ("none", laws.uniform_flow()),
    ],
)
def test_times_of_diffusers(peer, kind, law):
    t = peer.compute_density_for_timestep_sampling(
        kind, 8000, 0.3, 0.9, 1.1, generator=torch.Generator().manual_seed(0)
    )
    sigma = process.flow().level(t.double().numpy())
    assert stats.kstest(sigma, law.cdf).pvalue > 1e-3
    assert stats.kstest(1.2 * sigma, law.cdf).pvalue < 1e-3


def test_levels_of_k_diffusion():
    utils = pieces("utils.py", "rand_", "stratified")
    torch.manual_seed(0)
    of, n = {"dtype": torch.float64}, (8000,)
    for sigma, law in [
        (utils.rand_log_normal(n, -0.8, 1.6, **of), laws.lognormal(-0.8, 1.6)),
        (utils.rand_log_uniform(n, 0.02, 100, **of), laws.loguniform(0.02, 100)),
        (utils.rand_log_logistic(n, 0, 0.5, 0.01, 50, **of), CONTINUOUS[4]),
        (utils.rand_v_diffusion(n, 1.0, 1e-3, 1e3, **of), CONTINUOUS[6]),
        (utils.rand_cosine_interpolated(n, 128, 32, 512, 0.5, **of), CONTINUOUS[7]),
        (utils.rand_split_log_normal(n, -0.5, 0.4, 1.5, **of), CONTINUOUS[1]),
    ]:
        assert stats.kstest(sigma.numpy(), law.cdf).pvalue > 1e-3, law.name
        assert stats.kstest(1.3 * sigma.numpy(), law.cdf).pvalue < 1e-3, law.name


def test_cosine_interpolation_has_its_two_schedules_at_its_ends():
    """Near the clean end the schedule shifted from size_high, near the noisy end from size_low."""
    law = laws.cosine_interpolated(128, 32, 512, 1.0, 1e-4, 1e4)
    ends = [laws.cosine_interpolated(128, n, n, 1.0, 1e-4, 1e4) for n in (512, 32)]
    for u, end in zip((1e-4, 1 - 1e-4), ends, strict=True):
        assert law.quantile(u) == pytest.approx(end.quantile(u), rel=2e-3)
    assert ends[0].quantile(0.5) == pytest.approx(128 / 512, rel=1e-3)
    assert ends[1].quantile(0.5) == pytest.approx(128 / 32, rel=1e-3)


@pytest.mark.parametrize("u", [2.0**-52, 2.0**-30, 0.3, 1 - 2.0**-10, 1 - 2.0**-30, 1 - 2.0**-52])
@pytest.mark.parametrize("scale", [None, -1.0, 0.0, 1.29])
def test_no_digits_are_lost_at_either_end(scale, u):
    """v_diffusion, and mode where it is given, against eighty digits."""
    law = laws.v_diffusion() if scale is None else laws.mode(scale)
    with mp.workdps(80):
        half = mp.pi * mp.mpf(u) / 2
        t = 0 if scale is None else u - mp.mpf(scale) * (mp.sin(half) ** 2 - u)
        exactly = float(mp.tan(half) if scale is None else t / (1 - t))
    assert law.quantile(u) == pytest.approx(exactly, rel=1e-15)
    assert law.quantile(1.0) == np.inf


def test_infinite_level_of_a_table():
    betas = process.rescale_zero_terminal_snr(process.linear_betas(50))
    assert laws.discrete_uniform(process.discrete(betas)).levels[-1] == 1e12


def test_equality_and_tables_that_stay():
    assert laws.lognormal(0, 1) == laws.lognormal(0.0, 1.0)
    assert laws.lognormal(0, 1) != laws.logit_normal(0, 1)
    with pytest.raises(ValueError, match="read-only"):
        laws.geometric().levels[0] = 1


@pytest.mark.parametrize(
    ("made", "match"),
    [
        (lambda: laws.lognormal(math.nan), "mean is nan"),
        (lambda: laws.lognormal(0, 0), "std is 0, expected a number above 0"),
        (lambda: laws.logit_normal(0, -1), "std is -1"),
        (lambda: laws.split_lognormal(0, 0, 1), "std_low is 0"),
        (lambda: laws.split_lognormal(0, 1, "1"), "std_high is '1'"),
        (lambda: laws.loguniform(0, 1), "sigma_min is 0"),
        (lambda: laws.loguniform(2, 1), r"sigma_min is 2.0, expected less than sigma_max = 1.0"),
        (lambda: laws.log_logistic(0, 0), "scale is 0"),
        (lambda: laws.log_logistic(0, 1, 3, 2), "sigma_min is 3.0"),
        (lambda: laws.v_diffusion(0), "sigma_data is 0"),
        (lambda: laws.v_diffusion(1, -1), "sigma_min is -1"),
        (lambda: laws.cosine_interpolated(0), "image_size is 0"),
        (lambda: laws.cosine_interpolated(64, 256, 32), "size_low is 256.0"),
        (lambda: laws.uniform_t(VP, 0.5, 0.5), "t_min is 0.5"),
        (lambda: laws.uniform_t(VP, t_min=1.0), "t_min is 1.0, expected less than t_max = 1.0"),
        (lambda: laws.uniform_t(VP, -0.5, 0.5), "t_min and t_max are -0.5"),
        (lambda: laws.likelihood(VP, 0.0), "level at t_min is 0"),
        (lambda: laws.likelihood(process.flow()), "that at t_max is inf"),
        (lambda: laws.mode(2), "scale is 2.0, expected a number from -1 to 1.75"),
        (lambda: laws.discrete_uniform(VP), "process is vp"),
        (lambda: laws.geometric(1), "n is 1"),
        (lambda: laws.shifted(laws.mode(), 0), "factor is 0"),
        (lambda: laws.mode().quantile(1.1), r"u is 1.1, expected values in \[0, 1\]"),
        (lambda: laws.mode().cdf(-1), "sigma is -1"),
        (lambda: laws.mode().density(math.nan), "sigma is nan"),
        (lambda: laws.mode().sample([1, 2], of=(1, 2)), r"of is \(1, 2\) for 2 seeds"),
        (lambda: laws.mode().sample([1], of=(-1, 2)), r"of is \(-1, 2\)"),
        (lambda: laws.mode().sample([-1]), "seeds holds -1"),
    ],
)
def test_what_is_wrong_is_named(made, match):
    with pytest.raises(ValueError, match=match):
        made()


@pytest.mark.parametrize("make", [laws.uniform_t, laws.likelihood])
def test_times_that_do_not_end_at_one_are_those_of_the_process(make):
    """An index's range is all of its table, EDM's time is its level."""
    table = process.discrete(process.linear_betas())
    for diffusion, low, high in (
        (table, table.level(0), table.level(999)),
        (process.iddpm(), process.iddpm().level(0), process.iddpm().level(process.iddpm().t_max)),
        (process.edm(), 0.002, 80.0),
        (process.ve_sqrt(0.02, 100.0), 0.02, 100.0),
    ):
        np.testing.assert_allclose(make(diffusion).quantile([0, 1]), [low, high], rtol=1e-9)
