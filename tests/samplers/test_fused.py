# SPDX-License-Identifier: Apache-2.0
"""Each sampler's fused run against its own direct run, on data with an exact denoiser."""

import numpy as np
import pytest
import torch
from cases import CASES, ids

import pydiffcore
from pydiffcore import exact, prediction, process, samplers

SHAPE, SEEDS = (3,), range(64)


def both(case, denoiser, n, dtype, **kw):
    """Return (fused, direct in float64)."""
    sigmas = case.levels(n)
    model = denoiser if isinstance(denoiser, pydiffcore.Denoiser) else None
    kind = model.prediction if model else prediction.denoised()
    plan = pydiffcore.trace(case.sampler, sigmas, kind, **case.options, **kw)
    fused = pydiffcore.sample(denoiser, plan, shape=SHAPE, seeds=SEEDS, dtype=dtype)
    clip = {"clip": kw["clip"]} if "clip" in kw else {}
    direct = pydiffcore.direct(
        case.sampler, denoiser, sigmas, shape=SHAPE, seeds=SEEDS, **clip, **case.options
    )
    return fused.double(), direct


def relative(a, b):
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("n", [1, 2, 5, 18, 100])
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_fused_is_direct_in_float64(case, n, mixture):
    assert relative(*both(case, mixture, n, torch.float64)) <= 1e-10


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_float32_is_close(case, mixture):
    assert relative(*both(case, mixture, 50, torch.float32)) <= 1e-5


def raw_network(kind):
    """The network whose prediction is exact for the mixture: F solved from D."""
    data = exact.mixture([0.4, 0.6], [[-1.0, 0.5, 0.2], [0.8, -0.4, 0.1]], [0.3, 0.5])
    levels_seen = {}

    def network(x, c_noise):
        sigma = levels_seen["sigma"]
        c_skip, c_out, c_in, _ = (
            float(np.broadcast_to(c, 1)[0]) for c in kind.coefficients(np.array([sigma]))
        )
        state = x.double() / c_in
        F = (data(state, sigma) - c_skip * state) / c_out
        return F.to(x.dtype)

    return network, levels_seen


PREDICTIONS = [
    prediction.edm(),
    prediction.eps(process.vp()),
    prediction.v(process.vp()),
    prediction.x0(process.vp()),
    prediction.score(process.vp()),
    prediction.score(process.ve()),
    prediction.velocity(),
    prediction.vp(),
    prediction.ve(),
    prediction.iddpm(),
]


@pytest.mark.parametrize("kind", PREDICTIONS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("sampler", [samplers.euler, samplers.dpmpp_2m_sde])
def test_every_prediction_gives_the_same_samples(kind, sampler):
    """A network of any prediction that is exact gives what D itself gives."""
    sigmas = pydiffcore.levels.karras(12, sigma_min=0.02)
    network, seen = raw_network(kind)
    plan = pydiffcore.trace(sampler, sigmas, kind)
    model = pydiffcore.Denoiser(network, kind)
    runner_calls = iter(plan.sigma.tolist())

    def watched(x, c_noise):
        seen["sigma"] = next(runner_calls)
        return network(x, c_noise)

    model = pydiffcore.Denoiser(watched, kind)
    out = pydiffcore.sample(model, plan, shape=SHAPE, seeds=SEEDS, dtype=torch.float64)
    data = exact.mixture([0.4, 0.6], [[-1.0, 0.5, 0.2], [0.8, -0.4, 0.1]], [0.3, 0.5])
    expected = pydiffcore.direct(sampler, data, sigmas, shape=SHAPE, seeds=SEEDS)
    assert relative(out, expected) <= 1e-9


@pytest.mark.parametrize(
    "sampler", [samplers.euler, samplers.ddim, samplers.ddpm, samplers.dpmpp_2m]
)
def test_clipping(sampler):
    """ddim keeps the unclipped noise estimate, the others do not."""
    case = next(c for c in CASES if c.sampler is sampler)
    wide = exact.gaussian(np.zeros(3), np.full(3, 2.0))
    fused, direct = both(case, wide, 9, torch.float64, clip=(-0.5, 0.5))
    assert relative(fused, direct) <= 1e-10
    assert direct.abs().max() <= 0.5


def test_scaled_registers_give_the_same_result(mixture):
    vp = process.vp()
    sigmas = pydiffcore.levels.uniform_t(20, vp)
    plan = pydiffcore.trace(samplers.dpmpp_2m, sigmas, scaling=vp)
    assert plan.scale[0] < 0.01
    fused = pydiffcore.sample(mixture, plan, shape=SHAPE, seeds=SEEDS, dtype=torch.float64)
    direct = pydiffcore.direct(samplers.dpmpp_2m, mixture, sigmas, shape=SHAPE, seeds=SEEDS)
    assert relative(fused, direct) <= 1e-10


def test_float32_errors_do_not_add_up():
    """A thousand rows: without carried rounding this error is about ten times larger."""
    data = exact.gaussian(np.array([0.3, -0.2, 0.1]), np.array([0.5, 0.8, 0.3]))
    ve = process.ve()
    sigmas = pydiffcore.levels.uniform_t(1001, ve, t_max=1.0, final_zero=False)
    options = {"process": ve}
    plan = pydiffcore.trace(samplers.euler_maruyama, sigmas, **options)
    fused = pydiffcore.sample(data, plan, shape=SHAPE, seeds=SEEDS).double()
    direct = pydiffcore.direct(
        samplers.euler_maruyama, data, sigmas, shape=SHAPE, seeds=SEEDS, **options
    )
    assert ((fused - direct).square().mean() / direct.square().mean()).sqrt() < 2e-6
