# SPDX-License-Identifier: Apache-2.0
"""Peers: the samplers of other projects, run on the same network, to measure and to compare.

A peer is a function ``run(network, x, generator) -> Tensor``: x is the initial state
[B, *shape] in the EDM frame (x = x0 + σ z), the result is the final state; noise comes from the
generator, one draw of the batch's shape per step.  What other projects do per run, such as filling
a scheduler's tables, is part of ``run``; imports are not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.adapters.k_diffusion.peer import missing, peer
from pydiffcore.plan import Plan

__all__ = ["Convention", "Network", "Run", "installed", "peers", "versions"]

Network = Callable[[Tensor, Tensor], Tensor]
Run = Callable[[Network, Tensor, torch.Generator], Tensor]

PACKAGES = {"diffusers": "diffusers", "k-diffusion": "k_diffusion"}


@dataclass(frozen=True)
class Convention:
    """What a network's output means, in the words of diffusers.

    Attributes:
        kind: epsilon, sample, v_prediction or edm; "" where diffusers has no word for it.
        betas: of the discrete process, for the first three; the levels are ``trailing``.
        sigma_data: for edm, whose levels are ``karras``.
        sigma_min, sigma_max, rho: of those levels.

    """

    kind: str = ""
    betas: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), compare=False)
    sigma_data: float = 0.5
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0


def installed(package: str) -> bool:
    """Whether a peer's package, and what its samplers need, can be imported."""
    return not missing() if package == "k-diffusion" else find_spec(PACKAGES[package]) is not None


def versions() -> dict[str, str]:
    """Return the versions of the peers that are installed."""
    return {package: metadata.version(package) for package in PACKAGES if installed(package)}


def peers(sampler: str, steps: int, plan: Plan, convention: Convention) -> dict[str, Run]:
    """Return the installed peers that have a method, by name.

    Args:
        sampler: name of the method's function in pydiffcore.samplers, with its default options.
        steps: number of steps.
        plan: the method's plan on the network, whose calls the peers are expected to make.
        convention: what the network's output means.

    """
    found: dict[str, Run] = {}
    if installed("diffusers"):
        run = _diffusers(sampler, steps, convention)
        if run is not None:
            found[f"diffusers {run.__name__}"] = run
    if installed("k-diffusion") and sampler in K_DIFFUSION:
        found[f"k-diffusion {K_DIFFUSION[sampler]}"] = _k_diffusion(sampler, plan)
    return found


# Scheduler, its arguments, and whether its state is in the EDM frame.
MULTISTEP = {"solver_order": 2, "final_sigmas_type": "zero"}
DISCRETE: dict[str, tuple[str, dict[str, Any], bool]] = {
    "ancestral": ("EulerAncestralDiscreteScheduler", {}, True),
    "ddim": ("DDIMScheduler", {"clip_sample": False}, False),
    "ddpm": ("DDPMScheduler", {"clip_sample": False}, False),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", MULTISTEP, False),
    "dpmpp_2m_sde": (
        "DPMSolverMultistepScheduler",
        {**MULTISTEP, "algorithm_type": "sde-dpmsolver++"},
        False,
    ),
    "euler": ("EulerDiscreteScheduler", {}, True),
    "heun": ("HeunDiscreteScheduler", {}, True),
    "lms": ("LMSDiscreteScheduler", {}, True),
}
EDM: dict[str, tuple[str, dict[str, Any]]] = {
    "dpmpp_2m": ("EDMDPMSolverMultistepScheduler", {"final_sigmas_type": "zero"}),
    "dpmpp_2m_sde": (
        "EDMDPMSolverMultistepScheduler",
        {"final_sigmas_type": "zero", "algorithm_type": "sde-dpmsolver++"},
    ),
    "euler": ("EDMEulerScheduler", {}),
}
TAKES_GENERATOR = ("ancestral", "ddim", "ddpm", "dpmpp_2m", "dpmpp_2m_sde", "euler")


def _diffusers(sampler: str, steps: int, convention: Convention) -> Run | None:
    """Return diffusers' matching scheduler behind its usual loop, or None where there is none."""
    made = _scheduler(sampler, convention)
    if made is None:
        return None
    scheduler, alpha = made
    random = sampler in TAKES_GENERATOR

    def loop(network: Network, x: Tensor, generator: torch.Generator) -> Tensor:
        scheduler.set_timesteps(steps, device=x.device)
        x = alpha * x
        step = {"generator": generator} if random else {}
        for t in scheduler.timesteps:
            F = network(scheduler.scale_model_input(x, t), t.to(x.dtype).expand(len(x)))
            x = scheduler.step(F, t, x, return_dict=False, **step)[0]
        return x

    def run(network: Network, x: Tensor, generator: torch.Generator) -> Tensor:
        with quiet():
            return loop(network, x, generator)

    run.__name__ = type(scheduler).__name__.removesuffix("Scheduler")
    return run


def _scheduler(sampler: str, convention: Convention) -> tuple[Any, float] | None:
    """Return diffusers' scheduler and the factor of its initial state over x, if it has one."""
    diffusers = import_module("diffusers")
    if convention.kind == "edm" and sampler in EDM:
        name, options = EDM[sampler]
        scheduler = getattr(diffusers, name)(
            sigma_min=convention.sigma_min,
            sigma_max=convention.sigma_max,
            rho=convention.rho,
            sigma_data=convention.sigma_data,
            **options,
        )
        return scheduler, 1.0
    if convention.kind not in ("epsilon", "sample", "v_prediction") or sampler not in DISCRETE:
        return None
    name, options, own_frame = DISCRETE[sampler]
    with quiet():
        scheduler = getattr(diffusers, name)(
            num_train_timesteps=len(convention.betas),
            trained_betas=convention.betas,
            prediction_type=convention.kind,
            timestep_spacing="trailing",
            **options,
        )
    return scheduler, 1.0 if own_frame else float(np.sqrt(np.prod(1 - convention.betas)))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence NumPy 2, which deprecates how diffusers turns tensors into arrays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


K_DIFFUSION = {
    "ancestral": "sample_euler_ancestral",
    "dpmpp_2m": "sample_dpmpp_2m",
    "dpmpp_2m_sde": "sample_dpmpp_2m_sde",
    "euler": "sample_euler",
    "heun": "sample_heun",
    "lms": "sample_lms",
}
NOISE_SAMPLERS = ("ancestral", "dpmpp_2m_sde")


def _k_diffusion(sampler: str, plan: Plan) -> Run:
    """Return k-diffusion's function on D = c_skip·x + c_out·F(c_in·x; c_noise).

    The coefficients are numbers, known beforehand, which is the fastest form of a wrapper.
    """
    sampling = peer("sampling")
    function = getattr(sampling, K_DIFFUSION[sampler])
    calls = list(zip(plan.c_skip.tolist(), plan.c_out.tolist(), plan.c_in.tolist(), strict=True))
    ends = np.append(plan.sigma, plan.sigma_final)
    sigmas = torch.from_numpy(-np.unique(-ends))

    def run(network: Network, x: Tensor, generator: torch.Generator) -> Tensor:
        rows = iter(zip(calls, labels_of(plan, x), strict=True))

        def D(x: Tensor, sigma: Tensor, **kwargs: Any) -> Tensor:
            (c_skip, c_out, c_in), label = next(rows)
            return c_skip * x + c_out * network(c_in * x, label)

        options: dict[str, Any] = {"disable": True}
        if sampler in NOISE_SAMPLERS:
            options["noise_sampler"] = lambda *_: torch.randn(
                x.shape, generator=generator, dtype=x.dtype, device=x.device
            )
        return function(D, x, sigmas.to(x.device, x.dtype), **options)

    return run


def labels_of(plan: Plan, x: Tensor) -> Tensor:
    """Return what the network is told at each call, [n, B]."""
    labels = torch.tensor(plan.c_noise.tolist(), dtype=x.dtype, device=x.device)
    return labels[:, None].expand(-1, len(x))
