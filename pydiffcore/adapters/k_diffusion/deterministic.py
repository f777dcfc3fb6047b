# SPDX-License-Identifier: Apache-2.0
"""k-diffusion's samplers of the probability-flow ODE, some with churn, each on a plan of ours.

All take ``model(x, sigma[B], **extra_args) -> denoised``, the state x [B, ...] at sigmas[0], and
levels sigmas [n + 1], which may end in 0, and return the state at the last level.  ``callback`` is
called once per step, after its first network call, with copies of x and denoised.  ``seed`` is our
own: an integer (sample b has seed + b) or one per sample; the noise is then a function of the
sample's seed alone, drawn in the row's kernel.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pydiffcore import samplers
from pydiffcore.adapters.k_diffusion.method import Method
from pydiffcore.adapters.k_diffusion.run import run

__all__ = [
    "sample_dpm_2", "sample_dpm_fast", "sample_dpmpp_2m", "sample_euler", "sample_heun",
    "sample_lms",
]  # fmt: skip


def _churn(s_churn: float, s_tmin: float, s_tmax: float, s_noise: float) -> tuple[Any, ...]:
    given = {"churn": s_churn, "s_min": s_tmin, "s_max": s_tmax, "s_noise": s_noise}
    return tuple((name, float(value)) for name, value in given.items())


def sample_euler(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: Any = None,
    callback: Any = None,
    disable: bool | None = None,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
    *,
    seed: Any = None,
) -> Tensor:
    """Euler with churn: :func:`pydiffcore.samplers.euler_churn`.

    Karras et al. 2022 (arXiv 2206.00364), Algorithm 2 without its correction.
    """
    options = _churn(s_churn, s_tmin, s_tmax, s_noise)
    method = Method(samplers.euler_churn, 1, options)
    return run(method, model, x, sigmas, extra_args, callback, disable, churn=True, seed=seed)


def sample_heun(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: Any = None,
    callback: Any = None,
    disable: bool | None = None,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
    *,
    seed: Any = None,
) -> Tensor:
    """Heun with churn: :func:`pydiffcore.samplers.heun`.

    Karras et al. 2022 (arXiv 2206.00364), Algorithm 2.
    """
    options = _churn(s_churn, s_tmin, s_tmax, s_noise)
    method = Method(samplers.heun, 2, options)
    return run(method, model, x, sigmas, extra_args, callback, disable, churn=True, seed=seed)


def sample_dpm_2(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: Any = None,
    callback: Any = None,
    disable: bool | None = None,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
    *,
    seed: Any = None,
) -> Tensor:
    """The slope at sqrt(σ̂ σ_next), with churn: :func:`pydiffcore.samplers.dpm_2`.

    Lu et al. 2022 (arXiv 2206.00927), Algorithm 1.
    """
    options = _churn(s_churn, s_tmin, s_tmax, s_noise)
    method = Method(samplers.dpm_2, 2, options)
    return run(method, model, x, sigmas, extra_args, callback, disable, churn=True, seed=seed)


def sample_lms(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: Any = None,
    callback: Any = None,
    disable: bool | None = None,
    order: int = 4,
) -> Tensor:
    """Adams–Bashforth in σ: :func:`pydiffcore.samplers.lms`.

    Liu et al. 2022 (arXiv 2202.09778), on uneven levels.
    """
    method = Method(samplers.lms, 1, (("order", int(order)),))
    return run(method, model, x, sigmas, extra_args, callback, disable)


def sample_dpmpp_2m(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: Any = None,
    callback: Any = None,
    disable: bool | None = None,
) -> Tensor:
    """DPM-Solver++(2M): :func:`pydiffcore.samplers.dpmpp_2m`.

    Lu et al. 2022 (arXiv 2211.01095), Algorithm 2.
    """
    return run(Method(samplers.dpmpp_2m), model, x, sigmas, extra_args, callback, disable)


def sample_dpm_fast(
    model: Any,
    x: Tensor,
    sigma_min: float,
    sigma_max: float,
    n: int,
    extra_args: Any = None,
    callback: Any = None,
    disable: bool | None = None,
    eta: float = 0.0,
    s_noise: float = 1.0,
    noise_sampler: Any = None,
    *,
    seed: Any = None,
) -> Tensor:
    """DPM-Solver-fast from sigma_max to sigma_min in n calls: :func:`pydiffcore.samplers.dpm_fast`.

    The callback has t = −log σ and t_up besides.  Lu et al. 2022 (arXiv 2206.00927), section 3.4.
    """
    low, high = float(sigma_min), float(sigma_max)
    if not (0 < low < math.inf and 0 < high < math.inf):
        raise ValueError(f"sigma_min and sigma_max are {low} and {high}, expected positive levels")
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n is {n!r}, expected a whole number of network calls, at least 1")
    m = n // 3 + 1
    at = [high * (low / high) ** (i / m) for i in range(m)] + [low]
    sigmas = torch.tensor(at, dtype=torch.float64, device=x.device)
    options = (("nfe", n), ("eta", float(eta)), ("s_noise", float(s_noise)))
    return run(
        Method(samplers.dpm_fast, 0, options), model, x, sigmas, extra_args, callback, disable,
        noise_sampler, seed=seed, info=_with_times,
    )  # fmt: skip


def _with_times(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "t": -event["sigma"].log(), "t_up": -event["sigma_hat"].log()}
