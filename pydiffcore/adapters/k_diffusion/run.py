# SPDX-License-Identifier: Apache-2.0
"""A run: network call, fused row, network call, … with k-diffusion's callback and progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from pydiffcore.adapters.k_diffusion.flow import FLOW, flow_network, level, time
from pydiffcore.adapters.k_diffusion.method import Method, plan_of
from pydiffcore.adapters.k_diffusion.noise import Churn, default_noise_sampler, seeds_of, told
from pydiffcore.adapters.k_diffusion.wrapper import Network, network_of
from pydiffcore.ops.runner import Runner
from pydiffcore.plan import Plan

__all__ = ["run"]

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
Event = dict[str, Any]


@torch.no_grad()
def run(
    method: Method,
    model: Any,
    x: Tensor,
    sigmas: Any,
    extra_args: Mapping[str, Any] | None,
    callback: Callable[[Event], Any] | None,
    disable: bool | None,
    noise_sampler: Any = None,
    *,
    churn: bool = False,
    seed: Any = None,
    in_kernel: bool = False,
    info: Callable[[Event], Event] = dict,
    flow: bool = False,
) -> Tensor:
    """Run a method from x at sigmas[0] to sigmas[-1] and return the state there.

    Args:
        method: what to run.
        model, x, sigmas, extra_args, callback, disable: as k-diffusion's.
        noise_sampler: called with the two levels of each draw, or None.
        churn: draw a step's noise with torch whether it is used or not.
        seed: of the kernels' own noise, which takes the place of noise_sampler.
        in_kernel: use that noise, with a seed of torch's generator where none is given.
        info: makes the callback's argument of x, i, sigma, sigma_hat and denoised.
        flow: sigmas are times of x_t = (1 − t) x0 + t z, the state x_t, and the model's levels t.

    """
    sigmas = _checked(x, sigmas)
    if seed is not None and noise_sampler is not None:
        raise ValueError("seed and noise_sampler are both given, expected one of them")
    if len(sigmas) < 2 or not x.numel():
        return x
    levels = tuple(sigmas.detach().double().tolist())
    levels = tuple(level(t) for t in levels) if flow else levels
    network = flow_network(model) if flow else network_of(model)
    plan, starts = plan_of(method, levels, network.prediction, FLOW if flow else None)
    noise: Any = None
    if noise_sampler is not None:
        noise = told(noise_sampler, plan, x, sigmas)
    elif plan.draws and seed is None and not in_kernel:
        noise = Churn(x, levels[:-1]) if churn else default_noise_sampler(x)
    runner = _runner(plan, x, noise, seed)
    state, labels = runner.start(x.detach()), _labels(network, plan, x)
    for step in _progress(len(starts), disable):
        for call in range(starts[step], (*starts, plan.nfe)[step + 1]):
            F = _output(network.call(state, labels[call], **(extra_args or {})), x)
            if callback is not None and call == starts[step]:
                callback(info(_event(runner, call, F, step, sigmas, time if flow else float)))
            state = runner.advance(F)
    runner.check()
    if isinstance(noise, Churn):
        noise.skip(len(starts))
    return state.to(x.dtype, copy=plan.registers > 1)


def _checked(x: Any, sigmas: Any) -> Tensor:
    """Check the state, and return the levels, a tensor [n + 1]."""
    if not isinstance(x, Tensor) or x.dtype not in DTYPES or x.ndim < 1:
        what = f"{tuple(x.shape)} of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x is {what}, expected a floating-point tensor [B, ...]")
    sigmas = torch.as_tensor(sigmas)
    if sigmas.ndim != 1 or not sigmas.dtype.is_floating_point:
        raise ValueError(
            f"sigmas is {tuple(sigmas.shape)} of {sigmas.dtype}, expected levels [n + 1], floating"
        )
    return sigmas


def _runner(plan: Plan, x: Tensor, noise: Any, seed: Any) -> Runner:
    """Return what runs the rows, with noise of the kernels' own where none is given."""
    return Runner(
        plan,
        x.shape[1:],
        seeds_of(seed, len(x)) if plan.draws and noise is None else range(len(x)),
        dtype=torch.float64 if x.dtype is torch.float64 else torch.float32,
        io_dtype=x.dtype,
        device=x.device,
        noise=noise,
    )


def _labels(network: Network, plan: Plan, x: Tensor) -> tuple[Tensor, ...]:
    """Return what the network is told at each call, [B]."""
    if network.labels is None:  # a label of a prediction does not survive 16 bits
        dtype = torch.float64 if x.dtype is torch.float64 else torch.float32
        labels = torch.tensor(plan.c_noise.tolist(), dtype=dtype, device=x.device)
    else:
        labels = network.labels(torch.tensor(plan.sigma.tolist(), dtype=x.dtype, device=x.device))
    return labels[:, None].expand(-1, len(x)).contiguous().unbind()


def _output(F: Any, x: Tensor) -> Tensor:
    if not isinstance(F, Tensor):
        raise TypeError(f"model returned {type(F).__name__}, expected a tensor")
    if F.shape != x.shape or F.device != x.device:
        raise ValueError(
            f"model returned {tuple(F.shape)} on {F.device}, "
            f"expected {tuple(x.shape)} on {x.device}"
        )
    return (F if F.dtype is x.dtype else F.to(x.dtype)).detach()


def _event(
    runner: Runner, call: int, F: Tensor, step: int, sigmas: Tensor, told: Callable[[float], float]
) -> Event:
    """Return the callback's argument; its tensors are the caller's to keep."""
    plan, query = runner.plan, runner.query
    c_skip, c_out = float(plan.c_skip[call]), float(plan.c_out[call])
    D = c_out * F.to(query.dtype)
    sigma, sigma_hat = sigmas[step], told(float(plan.sigma[call]))
    return {
        "x": query.to(runner.io_dtype, copy=True),
        "i": step,
        "sigma": sigma,
        "sigma_hat": sigmas.new_tensor(sigma_hat),
        "denoised": (D if c_skip == 0 else D + c_skip * query).to(runner.io_dtype),
    }


def _progress(steps: int, disable: bool | None) -> Iterable[int]:
    """Return the steps, behind a progress bar where tqdm is installed and not disabled."""
    if disable is True:
        return range(steps)
    try:
        from tqdm.auto import trange
    except ImportError:
        return range(steps)
    return trange(steps, disable=disable)
