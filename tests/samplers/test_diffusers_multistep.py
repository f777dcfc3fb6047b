# SPDX-License-Identifier: Apache-2.0
"""Step-by-step equality with the multistep schedulers of diffusers."""

import numpy as np
import pytest
import torch
from samplers import test_diffusers
from samplers.test_diffusers import (
    BATCH,
    BETAS,
    SHAPE,
    VP,
    assert_same,
    drawn,
    network,
    ours,
    theirs,
    unit,
)

import pydiffcore
from pydiffcore import levels, prediction, samplers

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`algorithm_types:FutureWarning"),
]


def compare(scheduler, sampler, n, *, noises=0, options=None, **step):
    """The scheduler's own steps against the sampler at the scheduler's levels and labels."""
    scheduler.set_timesteps(n)
    sigma = levels.explicit(scheduler.sigmas.double().numpy(), VP)
    plan = pydiffcore.trace(sampler, sigma, prediction.eps(VP), scaling=VP, **(options or {}))
    labels = scheduler.timesteps.double().numpy()
    assert np.abs(plan.c_noise - labels).max() <= 1.0  # theirs are rounded to integers
    object.__setattr__(plan, "c_noise", labels)
    assert_same(plan, scheduler, unit(), noises=noises, **step)


LOG_RHO = {"order": 2, "space": "log_rho", "lower_order_final": True}


@pytest.mark.parametrize("side", ["ours", "theirs"])
@pytest.mark.parametrize("step", [0, 4, 8])
def test_the_comparison_sees_nan(monkeypatch, side, step):
    run = getattr(test_diffusers, side)

    def spoilt(*given, **options):
        states = run(*given, **options)
        states[step][0, 0] = torch.nan
        return states

    compare(diffusers.DEISMultistepScheduler(**BETAS), samplers.deis, 9, options=LOG_RHO)
    monkeypatch.setattr(test_diffusers, side, spoilt)
    with pytest.raises(AssertionError):
        compare(diffusers.DEISMultistepScheduler(**BETAS), samplers.deis, 9, options=LOG_RHO)


@pytest.mark.parametrize("solver", ["midpoint", "heun"])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize(
    ("kind", "final"),
    [("dpmsolver++", "zero"), ("dpmsolver++", "sigma_min"), ("dpmsolver", "sigma_min")],
)
def test_dpmsolver_multistep(kind, final, lower, order, solver):
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **BETAS, algorithm_type=kind, solver_order=order, solver_type=solver,
        lower_order_final=lower, final_sigmas_type=final,
    )  # fmt: skip
    options = {"solver": solver, "lower_order_final": lower}
    if order == 3:
        options["curvature"] = 0.5
    if kind == "dpmsolver":
        sampler, options["order"] = samplers.dpm_solver_multi, order
    elif order == 1:
        sampler, options = samplers.euler, {}
    else:
        sampler = samplers.dpmpp_2m if order == 2 else samplers.dpmpp_3m
    compare(scheduler, sampler, 9, options=options)


@pytest.mark.parametrize("solver", ["midpoint", "heun"])
@pytest.mark.parametrize("end", [{}, {"euler_at_final": True}])
def test_dpmsolver_third_order_to_sigma_min(end, solver):
    """From 15 steps on, diffusers' lower_order_final does nothing."""
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **BETAS, solver_order=3, solver_type=solver, final_sigmas_type="sigma_min", **end
    )
    options = {"solver": solver, "curvature": 0.5, **end}
    compare(scheduler, samplers.dpmpp_3m, 20, options=options)


@pytest.mark.parametrize("solver", ["midpoint", "heun"])
def test_sde_dpmsolver_plus_plus(solver):
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **BETAS, algorithm_type="sde-dpmsolver++", solver_type=solver, lower_order_final=False
    )
    options = {"solver": solver}
    compare(scheduler, samplers.dpmpp_2m_sde, 9, noises=9, options=options, generator=None)


def exact_sde_mean(x, sigma, sigma_next):
    """Mean of the reverse SDE's solution (eta = 1) where D = lambda^2: integrated by parts."""
    at, to = -np.log(sigma), -np.log(sigma_next)
    decay = np.exp(-2 * (to - at))
    return decay * x + (to**2 - to + 0.5) - decay * (at**2 - at + 0.5)


def test_third_order_sde_of_diffusers_has_a_wrong_sign():
    """Its D'' term has -1/2 where phi_3 has +1/2: a step in which D'' counts is far off.

    Where D is a quadratic in lambda the third order is exact: ours is, to rounding.
    """
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **BETAS, algorithm_type="sde-dpmsolver++", solver_order=3, lower_order_final=False,
        prediction_type="sample", use_exponential_sigmas=True,
    )  # fmt: skip
    scheduler.set_timesteps(20)
    sigma = scheduler.sigmas.double().numpy()
    alpha = 1 / np.sqrt(1 + sigma**2)
    x, none = torch.zeros(1), torch.zeros(1)
    for i in range(3):
        before = float(x) / alpha[i]
        D = torch.tensor([np.log(sigma[i]) ** 2], dtype=torch.float32)
        x = scheduler.step(D, scheduler.timesteps[i], x, variance_noise=none).prev_sample
    theirs = float(x) / alpha[3] - exact_sde_mean(before, sigma[2], sigma[3])
    states = []

    def denoise(state, at):
        states.append(state)
        return np.array(np.log(at) ** 2)

    lv = levels.explicit(sigma[:5])
    samplers.dpmpp_3m_sde(np.array(0.0), denoise, lv, lambda *_: np.array(0.0))
    ours = states[3] - exact_sde_mean(states[2], sigma[2], sigma[3])
    assert abs(ours) < 1e-12
    assert abs(theirs) > 0.05


@pytest.mark.parametrize("solver", ["midpoint", "heun"])
@pytest.mark.parametrize("order", [1, 2])
def test_sde_dpmsolver(order, solver):
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **BETAS, algorithm_type="sde-dpmsolver", solver_order=order, solver_type=solver,
        lower_order_final=False, final_sigmas_type="sigma_min",
    )  # fmt: skip
    options = {"solver": solver, "order": order, "eta": 1.0}
    compare(scheduler, samplers.dpm_solver_multi, 9, noises=9, options=options, generator=None)


@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(
    ("data", "lower", "final"), [(True, True, "zero"), (True, False, "sigma_min"),
                                 (False, True, "sigma_min"), (False, False, "sigma_min")],
)  # fmt: skip
@pytest.mark.parametrize("disable", [[], [0, 3]])
def test_unipc(data, lower, final, order, variant, disable):
    if variant == "bh1":
        final = "sigma_min"  # theirs is NaN at sigma = 0: B(h) = h is infinite there
    scheduler = diffusers.UniPCMultistepScheduler(
        **BETAS, solver_order=order, solver_type=variant, predict_x0=data,
        lower_order_final=lower, final_sigmas_type=final, disable_corrector=disable,
    )  # fmt: skip
    options = {
        "order": order, "variant": variant, "predict": "x0" if data else "eps",
        "lower_order_final": lower, "disable": disable,
    }  # fmt: skip
    compare(scheduler, samplers.unipc, 8, options=options)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("lower", [False, True])
def test_deis(order, lower):
    scheduler = diffusers.DEISMultistepScheduler(
        **BETAS, solver_order=order, lower_order_final=lower
    )
    options = {"order": order, "space": "log_rho", "lower_order_final": lower}
    compare(scheduler, samplers.deis, 9, options=options)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("n", [5, 20])
def test_pndm(skip, zero, kind, n):
    scheduler = diffusers.PNDMScheduler(
        **BETAS, skip_prk_steps=skip, set_alpha_to_one=zero, prediction_type=kind, steps_offset=1
    )
    scheduler.set_timesteps(n)
    t = np.array(scheduler._timesteps[::-1])
    sigma = levels.explicit([*VP.level(t), 0.0 if zero else float(VP.level(0))], VP)
    options = {"of": "eps" if kind == "epsilon" else "v"}
    if skip:
        plan = pydiffcore.trace(samplers.plms, sigma, scaling=VP, **options)
    else:
        plan = pydiffcore.trace(samplers.pndm, sigma, scaling=VP, **options)
    network_kind = prediction.eps(VP) if kind == "epsilon" else prediction.v(VP)
    assert_same(plan.bind(network_kind), scheduler, unit(), kind=network_kind)


@pytest.mark.parametrize("n", [1, 3, 12])
def test_ipndm(n):
    """Its network predicts v in the frame of cos and sin; betas are the sines, given here.

    Its own begin at 1, where its D is 0/0, which it takes for 0 instead of -v.
    """
    sines = np.sin(np.linspace(1.5, 0.0, n + 1))
    scheduler = diffusers.IPNDMScheduler(trained_betas=sines.tolist())
    scheduler.set_timesteps(n)
    sigma = levels.explicit(sines / np.sqrt(1 - sines**2))
    x = unit()
    expected = x
    for t in scheduler.timesteps:
        F = network(expected, torch.full((len(x),), float(t)))
        expected = scheduler.step(F, t, expected).prev_sample

    def denoise(y, level):
        angle = np.arctan(level)
        seen = y * np.cos(angle)
        F = network(seen, torch.full((len(x),), angle / np.pi * 2, dtype=torch.float64))
        return np.cos(angle) * seen - np.sin(angle) * F

    start = x.double() / np.cos(1.5)
    found = samplers.ipndm(start, denoise, sigma, None, extrapolates=True)
    assert float((found - expected).abs().max()) <= 1e-5 * max(1.0, float(expected.abs().max()))


def in_double(scheduler, sampler, n, options):
    """Whole runs in float64: theirs loses digits in float32, of differences of powers of lambda."""
    scheduler.set_timesteps(n)
    scheduler.sigmas = scheduler.sigmas.double()
    shape, double = (BATCH, *SHAPE), {"dtype": torch.float64}
    sigma = levels.explicit(scheduler.sigmas.numpy(), VP)
    plan = pydiffcore.trace(sampler, sigma, prediction.eps(VP), scaling=VP, **options)
    object.__setattr__(plan, "c_noise", scheduler.timesteps.double().numpy())
    draw = torch.Generator().manual_seed(7)
    noise = torch.stack([torch.randn(shape, generator=draw, **double) for _ in range(plan.draws)])
    model = pydiffcore.Denoiser(network, prediction.eps(VP))
    inputs = {"shape": SHAPE, "seeds": range(BATCH), "x": unit().double(), "noise": noise, **double}
    found = pydiffcore.sample(model, plan, **inputs)
    x, draw = unit().double(), torch.Generator().manual_seed(7)
    for t in scheduler.timesteps:
        F = network(x, torch.full((BATCH,), float(t), **double))
        x = scheduler.step(F, t, x, generator=draw).prev_sample
    assert float((found - x).abs().max()) <= 1e-9 * float(x.abs().max())


@pytest.mark.parametrize(("predictor", "corrector"), [(1, 2), (2, 2), (3, 3), (3, 4), (2, 1)])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("data", [True, False])
def test_sa_solver(predictor, corrector, lower, data):
    scheduler = diffusers.SASolverScheduler(
        **BETAS, predictor_order=predictor, corrector_order=corrector, lower_order_final=lower,
        algorithm_type="data_prediction" if data else "noise_prediction", tau_func=lambda t: 0.6,
    )  # fmt: skip
    options = {
        "predictor": predictor, "corrector": corrector, "lower_order_final": lower,
        "predict": "x0" if data else "eps", "variant": "bh1" if data else "exact", "tau": 0.6,
    }  # fmt: skip
    in_double(scheduler, samplers.sa_solver, 9, options)


def test_sa_solver_in_an_interval():
    """Theirs draws in every step, ours where tau is not 0; with n = 10 this is in steps 2 to 7."""
    scheduler = diffusers.SASolverScheduler(**BETAS)
    scheduler.set_timesteps(10)
    sigma = levels.explicit(scheduler.sigmas.double().numpy(), VP)
    tau = (float(VP.level(200)), float(VP.level(800)))
    used = [i for i, t in enumerate(scheduler.timesteps.tolist()) if 200 <= t <= 800]
    options = {"predictor": 2, "corrector": 2, "tau": tau, "variant": "bh1"}
    plan = pydiffcore.trace(
        samplers.sa_solver, sigma, prediction.eps(VP), scaling=VP, lower_order_final=True, **options
    )
    assert plan.draws == len(used) < 10
    object.__setattr__(plan, "c_noise", scheduler.timesteps.double().numpy())
    expected = theirs(scheduler, unit(), 7, generator=None)
    found = ours(plan, unit(), drawn(10, 7)[used], prediction.eps(VP))
    for a, b in zip(found, expected, strict=True):
        assert float((a - b).abs().max()) <= 1e-5 * max(1.0, float(b.abs().max()))
