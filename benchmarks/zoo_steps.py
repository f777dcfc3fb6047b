# SPDX-License-Identifier: Apache-2.0
"""Steps of four more samplers in several hands: ours, diffusers', k-diffusion's, written by hand.

A contender runs a whole loop on given network outputs, as in ``steps``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

import pydiffcore
from benchmarks import steps, written
from pydiffcore import levels, prediction, samplers

METHODS = ["dpmpp_3m", "unipc", "dpmpp_sde", "churned_heun"]
STOCHASTIC = ["dpmpp_sde", "churned_heun"]
FORMS = written.FORMS
CHURN = {"churn": 40.0, "s_min": 0.05, "s_max": 50.0, "s_noise": 1.003}
EDM = {"sigma_min": 0.002, "sigma_max": 80.0}


@lru_cache(maxsize=4)
def plan_of(method: str, n: int) -> pydiffcore.Plan:
    """The method on n levels; the state is the network's input, which is ε, or D for k-diffusion's.

    k-diffusion's functions ask for D, so that both sides begin from D.
    """
    if method in ("dpmpp_3m", "unipc"):
        return steps.plan_of(method, n)
    if method == "dpmpp_sde":
        return pydiffcore.trace(samplers.dpmpp_sde, levels.karras(n), prediction.denoised())
    churn = CHURN if method == "churned_heun" else {}
    return pydiffcore.trace(samplers.heun, levels.karras(n, **EDM), prediction.denoised(), **churn)


def ours(method: str, size: tuple[int, ...], n: int) -> Callable[[], None]:
    """The public call with all its checks."""
    return steps.rows_of(plan_of(method, n), size)


def by_hand(form: str, method: str, size: tuple[int, ...], n: int) -> Callable[[], None]:
    """The row written by hand in torch, in a form of ``written``."""
    return written.loop(form, plan_of(method, n), size, steps.outputs(size))


def peers(method: str, size: tuple[int, ...], n: int) -> dict[str, Callable[[], None]]:
    """The loops of other projects, the one that the bar is on first."""
    if method in ("dpmpp_3m", "unipc"):
        return {"diffusers": steps.diffusers_loop(method, size, n, scale_input=False)}
    loops = {"k-diffusion": k_diffusion_loop(method, size, n)}
    if method == "dpmpp_sde" and size == steps.SIZES[0]:
        tree = steps.diffusers_loop(method, size, n, scale_input=False)
        loops["diffusers with its Brownian tree"] = tree
    return loops


def k_diffusion_loop(method: str, size: tuple[int, ...], n: int) -> Callable[[], None]:
    """k-diffusion's function on a model that returns given tensors."""
    from pydiffcore.adapters.k_diffusion.peer import peer

    sampling = peer("sampling")

    given, start = cycle(steps.outputs(size)), torch.zeros(size)
    sigmas = torch.tensor([*levels.karras(n, **EDM).sigma.tolist()], dtype=torch.float32)

    def model(x: Tensor, sigma: Tensor) -> Tensor:
        return next(given)

    options: dict[str, Any] = {"disable": True}
    if method == "dpmpp_sde":
        function = sampling.sample_dpmpp_sde
        options["noise_sampler"] = lambda *_: torch.randn_like(start)
    else:
        function = sampling.sample_heun
    if method == "churned_heun":
        keys = {"churn": "s_churn", "s_min": "s_tmin", "s_max": "s_tmax", "s_noise": "s_noise"}
        options |= {keys[name]: value for name, value in CHURN.items()}
    return lambda: function(model, start, sigmas, **options)
