# SPDX-License-Identifier: Apache-2.0
"""k-diffusion's functions: parity with the peer where it is installed, and what is our own."""

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import k_diffusion_parity as parity
import numpy as np
import pytest
import torch
from k_diffusion_parity import (
    BEYOND,
    MODELS,
    OPTIONS,
    SDE,
    SIGMAS,
    Case,
    available,
    compare,
    function,
    sample,
    start,
)

import pydiffcore
from pydiffcore import levels, samplers
from pydiffcore.adapters import k_diffusion as ours
from pydiffcore.adapters.k_diffusion.method import plan_of
from pydiffcore.adapters.k_diffusion.peer import missing, peer

needs_peer = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")
STOCHASTIC = [name for name in OPTIONS if name in SDE or "ancestral" in name]
BAR = 1e-8


@needs_peer
@pytest.mark.parametrize("sampler", OPTIONS)
@pytest.mark.parametrize("sigmas", ["karras", "vp", "sliced back"])
def test_parity(sampler, sigmas):
    for case in parity.cases(sampler):
        if case.sigmas == sigmas and case.n in (2, 5) and case.model == "function":
            errors = compare(case)
            assert max(errors.result, errors.callbacks) <= BAR, case


@needs_peer
@pytest.mark.parametrize("model", MODELS[1:])
@pytest.mark.parametrize("sampler", OPTIONS)
def test_parity_of_wrappers(sampler, model):
    if model not in available():
        pytest.skip("layers.Denoiser needs more of k-diffusion's packages")
    case = Case(sampler, OPTIONS[sampler][0], model=model)
    errors = compare(case)
    assert max(errors.result, errors.callbacks) <= BAR


@needs_peer
@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpm_2_ancestral", "dpmpp_2s_ancestral"])
def test_the_same_default_noise(sampler):
    """torch's global generator, asked for the same numbers in the same order."""
    assert compare(Case(sampler, {}, n=7), noise_sampler=None).result <= BAR


@needs_peer
@pytest.mark.parametrize("sampler", SDE)
def test_one_brownian_tree(sampler):
    """A tree as noise_sampler is asked for the same increments."""
    sampling = peer("sampling")

    def errors():
        results = []
        for module in (ours, sampling):
            x = torch.zeros(parity.SHAPE, dtype=torch.float64)
            tree = sampling.BrownianTreeNoiseSampler(x, 0.01, 20.0, seed=5)
            results.append(parity.run(module, Case(sampler, {}, n=6), noise_sampler=tree)[0])
        return parity.relative(*results)

    assert errors() <= 1e-5  # the tree's own tolerance in time is 1e-6


@needs_peer
@pytest.mark.parametrize(
    ("alias", "theirs", "options"),
    [
        ("dpm2", "dpm_2", {}), ("dpm2_a", "dpm_2_ancestral", {}),
        ("dpmpp_2m_sde_heun", "dpmpp_2m_sde", {"solver_type": "heun"}),
        ("dpmpp_2s_a", "dpmpp_2s_ancestral", {}), ("euler_a", "euler_ancestral", {}),
        ("heun2", "heun", {}), ("dpm_solver_1", "euler", {}),
    ],
)  # fmt: skip
def test_aliases_are_what_the_peer_has_under_the_name(alias, theirs, options):
    sigmas = SIGMAS.double()
    draws = torch.randn(99, 3, 2, 4, 4, dtype=torch.float64)
    plan = pydiffcore.trace(getattr(samplers, alias), levels.explicit(sigmas.tolist()))
    x, rest = start(dtype=torch.float64), iter(draws)
    given = {"noise_sampler": lambda *_: next(rest)} if plan.is_stochastic else {}
    found = getattr(peer("sampling"), f"sample_{theirs}")(
        function, x, sigmas, disable=True, **options, **given
    )
    mine = pydiffcore.sample(
        lambda x, sigma: function(x, sigma),
        plan,
        x=x,
        noise=draws[: plan.draws, :] if given else None,
    )
    assert parity.relative(mine, found) <= BAR


@needs_peer
def test_lists_of_levels():
    sampling = peer("sampling")
    for n in (1, 2, 10):
        for name, ends in (("karras", (0.03, 14.6)), ("exponential", (0.03, 14.6)),
                           ("polyexponential", (0.03, 14.6, 1.5)), ("vp", ())):  # fmt: skip
            a, b = (getattr(m, f"get_sigmas_{name}")(n, *ends) for m in (ours, sampling))
            assert a.dtype == b.dtype
            assert a.shape == b.shape
            assert a[-1] == 0
            assert torch.allclose(a, b, rtol=5e-4 if name == "vp" else 1e-5)


@needs_peer
def test_peer_misses_the_marginal_where_all_noise_is_new():
    """x0 = 0 known: at level σ the state has deviation σ; theirs leaves the noise out."""

    def zero(x, sigma):
        return torch.zeros_like(x)

    x, sigmas = 10 * torch.ones(1, 4000), torch.tensor([10.0, 5.0])
    theirs = peer("sampling").sample_dpm_2_ancestral(zero, x, sigmas, disable=True, eta=2.0)
    mine = ours.sample_dpm_2_ancestral(zero, x, sigmas, disable=True, eta=2.0, seed=0)
    assert float(theirs.std()) == 0
    assert float(mine.std()) == pytest.approx(5.0, rel=0.05)


@needs_peer
@pytest.mark.parametrize("sampler", ["dpmpp_2m_sde", "dpmpp_3m_sde"])
def test_peer_raises_in_a_single_step_to_0(sampler):
    """The answer is D."""
    x, sigmas = start(), torch.tensor([14.6, 0.0])
    with pytest.raises(UnboundLocalError):
        getattr(peer("sampling"), f"sample_{sampler}")(
            function, x, sigmas, disable=True, noise_sampler=lambda *_: x
        )
    assert torch.equal(sample(sampler, sigmas=sigmas), function(x, torch.full((3,), 14.6)))


def gaussian_orders(run):
    """Orders fitted on x0 of unit variance: D = x/(1 + σ²), x(σ) ∝ sqrt(1 + σ²)."""
    low, high = 0.05, 300.0
    errors = []
    for n in (80, 160, 320):
        sigmas = torch.from_numpy(np.geomspace(high, low, n + 1))
        x = high * torch.ones(1, 1, dtype=torch.float64)
        found = run(lambda x, s: x / (1 + s[:, None] ** 2), x, sigmas, eta=0.0, disable=True)
        errors.append(abs(float(found) - high * np.sqrt((1 + low**2) / (1 + high**2))))
    return np.log2(np.array(errors[:-1]) / errors[1:])


@needs_peer
def test_peer_third_order_multistep_is_second_order():
    """Half of the third term; ours has all of it where asked."""
    assert np.all(gaussian_orders(peer("sampling").sample_dpmpp_3m_sde) < 2.2)


def test_third_order_multistep():
    found = gaussian_orders(lambda *a, **k: ours.sample_dpmpp_3m_sde(*a, curvature=1.0, **k))
    assert np.all(found > 2.8)


@pytest.mark.parametrize("sampler", OPTIONS)
def test_dtypes_and_inference_mode(sampler):
    options = {"seed": 1} if sampler in STOCHASTIC else {}
    wide = sample(sampler, x=start().double(), sigmas=SIGMAS.double(), **options)
    assert wide.dtype == torch.float64
    for dtype, bar in ((torch.float32, 1e-4), (torch.bfloat16, 0.1)):
        with torch.inference_mode():
            found = sample(sampler, x=start().to(dtype), **options)
        assert found.dtype == dtype
        assert parity.relative(found.double(), wide) <= bar


@pytest.mark.parametrize("sampler", STOCHASTIC)
def test_seeds(sampler):
    """A sample's noise depends on its own seed alone."""
    whole = sample(sampler, seed=10)
    assert torch.equal(whole, sample(sampler, seed=[10, 11, 12]))
    assert torch.equal(whole[2:], sample(sampler, x=start()[2:], seed=[12]))
    assert not torch.equal(whole, sample(sampler, seed=11))
    torch.manual_seed(3)
    first = sample(sampler)
    torch.manual_seed(3)
    assert torch.equal(first, sample(sampler))
    assert not torch.equal(first, sample(sampler))


def test_callbacks_keep_what_they_were_given():
    events = []
    result = sample("heun", callback=events.append)
    assert [e["i"] for e in events] == list(range(6))
    assert torch.equal(events[0]["x"], start())
    for event in events:
        sigma = event["sigma_hat"].expand(3)
        assert torch.allclose(event["denoised"], function(event["x"], sigma), rtol=1e-5)
        event["x"].zero_()  # a copy: nothing else changes
    assert torch.equal(result, sample("heun"))


def test_noise_sampler_is_told_the_levels():
    seen = []

    def noise_sampler(sigma, sigma_next):
        seen.append((sigma, sigma_next))
        return torch.zeros(3, 2, 4, 4)

    sample("euler_ancestral", noise_sampler=noise_sampler)
    assert all(isinstance(s, torch.Tensor) and s.ndim == 0 for pair in seen for s in pair)
    assert [tuple(map(float, pair)) for pair in seen] == [
        pair for pair in pairwise(SIGMAS.tolist()) if pair[1] > 0
    ]


def test_plans_are_kept():
    sample("dpmpp_2m")
    before = plan_of.cache_info()
    sample("dpmpp_2m")
    after = plan_of.cache_info()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)


def test_threads():
    names = ["euler", "heun", "dpmpp_2m", "dpmpp_sde"] * 4
    options = {"dpmpp_sde": {"seed": 4}}
    alone = [sample(name, **options.get(name, {})) for name in names]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: sample(name, **options.get(name, {})), names))
    assert all(torch.equal(a, b) for a, b in zip(alone, found, strict=True))


def test_nothing_is_left_to_do():
    x = start()
    assert torch.equal(sample("euler", x=x, sigmas=SIGMAS[:1]), x)


def test_ancestral_steps_that_draw_all_their_noise():
    """eta 1.5 asks some steps for more noise than their level has."""
    found = sample("dpm_2_ancestral", seed=0, **BEYOND)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"x": [1.0]}, TypeError, "x is list"),
        ({"x": torch.zeros(2, 3, dtype=torch.int64)}, TypeError, "x is"),
        ({"model": 3}, TypeError, "model is int"),
        ({"model": lambda x, s: None}, TypeError, "model returned NoneType"),
        ({"model": lambda x, s: x[:1]}, ValueError, "model returned"),
        ({"sigmas": torch.tensor([1, 0])}, ValueError, "sigmas is"),
        ({"sigmas": torch.tensor([1.0, 1.0, 0.0])}, ValueError, "sigmas: "),
        ({"sigmas": torch.tensor([1.0, float("nan")])}, ValueError, "sigmas: "),
        ({"sigmas": torch.tensor([1.0, 2.0])}, ValueError, "sigmas: "),
        ({"eta": -1.0}, ValueError, "eta is -1"),
        ({"seed": "7"}, TypeError, "seed is '7'"),
        ({"seed": [1, 2]}, ValueError, "seed has 2 entries"),
        ({"seed": 1, "noise_sampler": print}, ValueError, "seed and noise_sampler"),
        ({"noise_sampler": 3}, TypeError, "noise_sampler is int"),
        ({"noise_sampler": lambda *_: torch.zeros(1)}, ValueError, "noise_sampler returned"),
    ],
)
def test_errors_name_the_argument(options, error, text):
    with pytest.raises(error, match=text):
        sample("euler_ancestral", **options)


def test_errors_of_single_options():
    with pytest.raises(ValueError, match="solver_type is 'euler'"):
        sample("dpmpp_2m_sde", solver_type="euler")
    with pytest.raises(ValueError, match="n is 0"):
        ours.sample_dpm_fast(function, start(), 0.03, 14.6, 0)
    with pytest.raises(ValueError, match="sigma_min and sigma_max"):
        ours.sample_dpm_fast(function, start(), 0.0, 14.6, 5)
    with pytest.raises(ValueError, match="n is 0"):
        ours.get_sigmas_karras(0, 0.03, 14.6)
    with pytest.raises(ValueError, match="sigma_min is 0"):
        ours.get_sigmas_exponential(3, 0.0, 14.6)


def test_the_page_runs(capsys):
    page = (Path(__file__).parents[2] / "docs" / "k_diffusion.md").read_text()
    ((code, printed),) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.S)
    exec(code, {})
    assert capsys.readouterr().out == printed
