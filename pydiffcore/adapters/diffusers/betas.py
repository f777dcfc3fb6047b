# SPDX-License-Identifier: Apache-2.0
"""Tables of a discrete process as diffusers has them: float32, in the same order of operations.

A float64 table would be the better one, but a network's pipeline must see the same levels: with
cosine betas the two differ in the fourth digit where the signal vanishes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["alpha_bar_betas", "table", "table_with_end", "zero_terminal_snr"]

TINY = 2.0**-24  # stands for an alpha of zero where sigma must be finite


def alpha_bar_betas(n: int, alpha_bar: Callable[[float], float], largest: float = 0.999) -> Tensor:
    """Betas min(1 − ᾱ((i + 1)/n)/ᾱ(i/n), largest), Nichol & Dhariwal 2021 (arXiv 2102.09672)."""
    values = [1 - alpha_bar((i + 1) / n) / alpha_bar(i / n) for i in range(n)]
    return torch.tensor([min(beta, largest) for beta in values], dtype=torch.float32)


def _cosine(t: float) -> float:
    return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2


def _laplace(t: float) -> float:
    lam = -0.5 * math.copysign(1, 0.5 - t) * math.log(1 - 2 * math.fabs(0.5 - t) + 1e-6)
    snr = math.exp(lam)
    return math.sqrt(snr / (1 + snr))


def _linear(config: Mapping[str, Any], n: int) -> Tensor:
    return torch.linspace(config["beta_start"], config["beta_end"], n, dtype=torch.float32)


def _scaled_linear(config: Mapping[str, Any], n: int) -> Tensor:
    low, high = config["beta_start"] ** 0.5, config["beta_end"] ** 0.5
    return torch.linspace(low, high, n, dtype=torch.float32) ** 2


def _sigmoid(config: Mapping[str, Any], n: int) -> Tensor:
    low, high = config["beta_start"], config["beta_end"]
    return torch.sigmoid(torch.linspace(-6, 6, n)) * (high - low) + low


BETAS: dict[str, Callable[[Mapping[str, Any], int], Tensor]] = {
    "linear": _linear,
    "scaled_linear": _scaled_linear,
    "squaredcos_cap_v2": lambda _, n: alpha_bar_betas(n, _cosine),
    "laplace": lambda _, n: alpha_bar_betas(n, _laplace),
    "exp": lambda _, n: alpha_bar_betas(n, lambda t: math.exp(-12.0 * t)),
    "sigmoid": _sigmoid,
}
USUAL = ("linear", "scaled_linear", "squaredcos_cap_v2")


def zero_terminal_snr(betas: Tensor) -> Tensor:
    """Shift and scale sqrt(ᾱ) so that its last entry is 0: Lin et al. 2024 (arXiv 2305.08891)."""
    root = torch.cumprod(1.0 - betas, dim=0).sqrt()
    first, last = root[0].clone(), root[-1].clone()
    root = (root - last) * (first / (first - last))
    bar = root**2
    return 1 - torch.cat([bar[:1], bar[1:] / bar[:-1]])


def table(
    config: Mapping[str, Any], cls: type, schedules: tuple[str, ...] = USUAL, tiny: bool = False
) -> dict[str, Tensor]:
    """Return betas, alphas and alphas_cumprod of a configuration.

    Args:
        config: num_train_timesteps, beta_start, beta_end, beta_schedule, trained_betas and,
            where the scheduler has it, rescale_betas_zero_snr.
        cls: the scheduler, for the error.
        schedules: beta schedules that it knows.
        tiny: whether the last alpha of zero terminal signal is 2^-24 instead of 0.

    Raises:
        NotImplementedError: a beta schedule that the scheduler does not know.

    """
    name, n = config["beta_schedule"], config["num_train_timesteps"]
    if config["trained_betas"] is not None:
        betas = torch.tensor(config["trained_betas"], dtype=torch.float32)
    elif name in schedules:
        betas = BETAS[name](config, n)
    else:
        raise NotImplementedError(
            f"beta_schedule is {name!r}: {cls.__name__} has {', '.join(map(repr, schedules))}"
        )
    rescale = bool(config.get("rescale_betas_zero_snr"))
    if rescale:
        betas = zero_terminal_snr(betas)
    alphas = 1.0 - betas
    cumprod = torch.cumprod(alphas, dim=0)
    if rescale and tiny:
        cumprod[-1] = TINY
    return {"betas": betas, "alphas": alphas, "alphas_cumprod": cumprod}


def table_with_end(config: Mapping[str, Any], cls: type) -> dict[str, Tensor]:
    """Return :func:`table` and final_alpha_cumprod, the ᾱ that the last step goes to."""
    made = table(config, cls)
    final = torch.tensor(1.0) if config["set_alpha_to_one"] else made["alphas_cumprod"][0]
    return {**made, "final_alpha_cumprod": final}
