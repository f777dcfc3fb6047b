# SPDX-License-Identifier: Apache-2.0
"""iPNDM on the state α·x0 + β·ε of a network that predicts v."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pydiffcore.adapters.diffusers.family import Family
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.routes.log_snr import predicted
from pydiffcore.adapters.diffusers.routes.pndm import ADAMS

__all__ = ["FAMILIES"]

Options = Mapping[str, Any]
READ = 4  # values of ε that a step reads


def ipndm(
    x: Any, denoise: Any, levels: Any, noise: Any, *, rows: Sequence[tuple[float, ...]]
) -> Any:
    """Adams–Bashforth on ε = βX + αF with the weights of even steps, then DDIM's step along it.

    Zhang & Chen 2023 (arXiv 2204.13902), section 3.3.  ``denoise`` gives F itself.
    """
    kept: list[Any] = []
    for (alpha, beta, alpha_next, beta_next), (sigma, _) in zip(rows, levels.steps(), strict=True):
        F = denoise(x, sigma)
        kept = [beta * x + alpha * F, *kept][:READ]
        eps = sum(w * each for w, each in zip(ADAMS[len(kept) - 1], kept, strict=True))
        if alpha == 0 and len(kept) == 1:  # the state is the noise: nothing of x0 is known
            x = max(beta_next, 1e-30) * eps
            continue
        a = alpha_next / max(alpha, 1e-8)
        x = a * x + (beta_next - a * beta) * eps
    return x


def schedule(s: Any, num_inference_steps: int) -> dict[str, Any]:
    steps = torch.linspace(1, 0, num_inference_steps + 1)
    if s.config.trained_betas is not None:
        betas = torch.tensor(s.config.trained_betas, dtype=torch.float32)
    else:
        betas = torch.sin(steps * math.pi / 2) ** 2
    alphas = (1.0 - betas**2) ** 0.5
    return {
        "num_inference_steps": num_inference_steps,
        "betas": betas,
        "alphas": alphas,
        "timesteps": (torch.atan2(betas, alphas) / math.pi * 2)[:-1],
        "ets": [],
    }


def setup(s: Any) -> dict[str, Any]:
    made = schedule(s, s.config.num_train_timesteps)
    return {**made, "init_noise_sigma": 1.0, "pndm_order": 4}


def recipe(s: Any, begin: int, options: Options) -> Recipe:
    """Return the recipe of a run that goes on for as many loops as the caller likes.

    As in diffusers the history outlasts a loop where the caller empties ``_step_index`` instead of
    setting timesteps.  Rows repeat from the one on that reads a whole history.
    """
    alpha, beta = s.alphas.double().tolist(), s.betas.double().tolist()
    once = list(zip(alpha[:-1], beta[:-1], alpha[1:], beta[1:], strict=True))
    loop = once if s.begin_index is None else once[begin:]
    before = once[begin:] + loop * -(-max(READ - len(once[begin:]), 0) // len(loop))
    rows = before + loop + (loop * READ)[:READ]  # which read what the last steps of a loop leave
    return Recipe(
        ipndm,
        (*(row[1] for row in rows), rows[-1][3]),
        predicted("sample", False),
        options=(("rows", tuple(rows)),),
        cycle=(len(before) + 1, len(before) + len(loop)),
    )


FAMILIES = {
    "IPNDMScheduler": Family(
        setup=setup,
        schedule=schedule,
        recipe=recipe,
        early=True,
        second="",
        local=("betas", "alphas", "ets"),
    ),
}
