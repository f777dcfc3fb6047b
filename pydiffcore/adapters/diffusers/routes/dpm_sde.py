# SPDX-License-Identifier: Apache-2.0
"""DPM-Solver++ of two stages for the reverse SDE; its noise comes from diffusers' Brownian tree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pydiffcore.adapters.diffusers import spacing
from pydiffcore.adapters.diffusers.family import Family, sigma_noising
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes.euler import up_and_down
from pydiffcore.adapters.diffusers.routes.sigma import doubled, ended, recipe_of, sigma_table

__all__ = ["FAMILIES"]

Options = Mapping[str, Any]


def pairs(s: Any, begin: int) -> list[tuple[float, float]]:
    """Return (σ, σ_next) of each call's step, the same pair for both calls of one."""
    sigma = s.sigmas.double().tolist()
    steps = []
    for i in range(begin, len(sigma) - 1):
        at = i - (i - begin) % 2
        steps.append((sigma[at], sigma[at + 1]))
    return steps


def sde(
    x: Any, denoise: Any, levels: Any, noise: Any, *, steps: tuple[tuple[float, float], ...],
    s_noise: float,
) -> Any:  # fmt: skip
    """Ancestral steps to σ_m = sqrt(σ σ_next) with D, and again from the start with D at σ_m.

    Lu et al. 2022 (arXiv 2211.01095), section 5, in k-diffusion's form.
    """
    start = x
    for i, ((sigma, sigma_next), (at, _)) in enumerate(zip(steps, levels.steps(), strict=True)):
        D = denoise(x, at)
        if sigma_next == 0:
            return D
        first = i % 2 == 0
        start = x if first else start
        to = math.sqrt(sigma * sigma_next) if first else sigma_next
        up, down = up_and_down(sigma, to)
        x = (down / sigma) * start + (1 - down / sigma) * D
        if up * s_noise > 0:
            x = x + s_noise * up * noise(sigma, to)
    return x


def evenly(config: Mapping[str, Any], n: int, N: int) -> Any:
    """Return n falling timesteps, float64."""
    if config["timestep_spacing"] == "linspace":
        return np.linspace(0, N - 1, n)[::-1].copy()
    if config["timestep_spacing"] == "leading":
        return np.arange(n)[::-1] * float(N // n) + config["steps_offset"]
    return spacing.spaced(config, n, train=N).astype(np.float64)


def schedule(
    s: Any, num_inference_steps: int, num_train_timesteps: int | None = None
) -> dict[str, Any]:
    n, N = num_inference_steps, num_train_timesteps or s.config.num_train_timesteps
    table = spacing.sigmas_of(s.alphas_cumprod)
    at = evenly(s.config, n, N)
    sigmas = np.interp(at, np.arange(len(table)), table)
    curve = spacing.transformed(s.config, sigmas, n)
    if curve is not None:
        sigmas, at = curve, spacing.sigma_to_t(curve, np.log(table))
    between = spacing.sigma_to_t(np.sqrt(sigmas[:-1] * sigmas[1:]), np.log(table))
    times = np.append(at[:1], at[1:].repeat(2))
    times[1::2] = between
    return {
        "num_inference_steps": n,
        "sigmas": doubled(ended(sigmas)),
        "timesteps": torch.from_numpy(times),
        "sample": None,
        "mid_point_sigma": None,
        "noise_sampler": None,
        "_tree_of": None,
    }


def setup(s: Any) -> dict[str, Any]:
    made = sigma_table(s)
    s.alphas_cumprod = made["alphas_cumprod"]
    return {
        **made,
        **schedule(s, s.config.num_train_timesteps),
        "use_karras_sigmas": s.config.use_karras_sigmas,
        "noise_sampler_seed": s.config.noise_sampler_seed,
    }


def recipe(s: Any, begin: int, options: Options) -> Recipe:
    steps = pairs(s, begin)
    at = [a if i % 2 == 0 else math.sqrt(a * b) for i, (a, b) in enumerate(steps)]
    rule = {"steps": tuple(steps), "s_noise": options["s_noise"]}
    return recipe_of(s, sde, [*at, 0.0], rule, begin)


def input_scale(s: Any, index: int) -> float:
    """1/sqrt(σ² + 1) at the level of the call, which for a second one is between two others."""
    first = index - (index - s._first) % 2
    sigma = float(s.sigmas[first])
    if first != index:
        sigma = math.sqrt(sigma * float(s.sigmas[first + 1]))
    return (sigma**2 + 1) ** -0.5


class Tree:
    """Brownian motion as diffusers has it, which torchsde grows and cannot copy: it is made again.

    Args:
        like: a state.
        low: the lowest level.
        high: the highest.
        seed: of the whole batch, or a list with one per sample; None for torch's own.

    """

    def __init__(self, like: Tensor, low: float, high: float, seed: Any) -> None:
        from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

        if seed is None:
            seed = int(torch.randint(0, 2**63 - 1, []).item())
        self.made_of = (low, high, seed)
        self.kind = (like.shape, like.device, like.dtype)
        self.grown: Any = BrownianTreeNoiseSampler(like, low, high, seed)

    def __call__(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        found: Tensor = self.grown(sigma, sigma_next)
        return found

    def __reduce__(self) -> Any:
        shape, device, dtype = self.kind
        return Tree, (torch.zeros(shape, device=device, dtype=dtype), *self.made_of)


def brownian(s: Any, sample: Tensor, index: int) -> Tensor:
    """Return a call's unit normal: the increment of the tree from σ to σ_m, or to σ_next.

    The times are diffusers' own, in float32, for the tree tells neighbours apart.
    """
    kind = (sample.shape, sample.device, sample.dtype)
    if s.noise_sampler is None or s._tree_of != kind:
        s._tree_of = kind
        low, high = s.sigmas[s.sigmas > 0].min().item(), s.sigmas.max().item()
        s.noise_sampler = Tree(sample, low, high, s.noise_sampler_seed)
    at = index - (index - s._first) % 2
    t, t_next = s.sigmas[at].log().neg(), s.sigmas[at + 1].log().neg()
    to = t + (t_next - t) * 0.5 if at == index else t_next
    return s.noise_sampler(t.neg().exp(), to.neg().exp())[None]


FAMILIES = {
    "DPMSolverSDEScheduler": Family(
        setup=setup,
        schedule=schedule,
        recipe=recipe,
        kinds=("epsilon", "v_prediction"),
        missing=("sample",),
        early=True,
        input_scale=input_scale,
        noising=sigma_noising,
        options=("s_noise",),
        noise=brownian,
        output="DPMSolverSDESchedulerOutput",
        local=("sample", "mid_point_sigma", "noise_sampler", "_tree_of"),
    ),
}
