# SPDX-License-Identifier: Apache-2.0
"""k-diffusion's ancestral samplers and those of the reverse SDE, each on a plan of ours.

All take ``model(x, sigma[B], **extra_args) -> denoised``, the state x [B, ...] at sigmas[0], and
levels sigmas [n + 1], which may end in 0, and return the state at the last level.  ``callback`` is
called once per step, after its first network call, with copies of x and denoised.  ``seed`` is our
own: an integer (sample b has seed + b) or one per sample; the noise is then a function of the
sample's seed alone, drawn in the row's kernel.

Without ``noise_sampler`` and ``seed`` the ancestral ones draw with torch's global generator, as
k-diffusion's do; those of the SDE, which have a Brownian tree there, take their seed from it.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pydiffcore import samplers
from pydiffcore.adapters.k_diffusion import method as methods
from pydiffcore.adapters.k_diffusion.method import Method
from pydiffcore.adapters.k_diffusion.run import run

__all__ = [
    "sample_dpm_2_ancestral", "sample_dpmpp_2m_sde", "sample_dpmpp_2s_ancestral",
    "sample_dpmpp_3m_sde", "sample_dpmpp_sde", "sample_euler_ancestral",
]  # fmt: skip


def _noisy(eta: float, s_noise: float, **options: Any) -> tuple[Any, ...]:
    return (("eta", float(eta)), ("s_noise", float(s_noise)), *options.items())


def sample_euler_ancestral(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: Any = None,
    callback: Any = None,
    disable: bool | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
    noise_sampler: Any = None,
    *,
    seed: Any = None,
) -> Tensor:
    """Euler to σ_down, then noise: :func:`pydiffcore.samplers.ancestral`, σ_up ≤ σ_next.

    Ho et al. 2020 (arXiv 2006.11239), eq. 7.
    """
    method = Method(methods.euler_ancestral, 1, _noisy(eta, s_noise))
    return run(method, model, x, sigmas, extra_args, callback, disable, noise_sampler, seed=seed)


def sample_dpm_2_ancestral(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: Any = None,
    callback: Any = None,
    disable: bool | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
    noise_sampler: Any = None,
    *,
    seed: Any = None,
) -> Tensor:
    """DPM-Solver-2 to σ_down, then noise: :func:`pydiffcore.samplers.dpm_2_ancestral`.

    Lu et al. 2022 (arXiv 2206.00927), Algorithm 1.  Where η asks for all of σ_next as noise it is
    added; k-diffusion leaves it out there.
    """
    method = Method(methods.dpm_2_ancestral, 2, _noisy(eta, s_noise))
    return run(method, model, x, sigmas, extra_args, callback, disable, noise_sampler, seed=seed)


def sample_dpmpp_2s_ancestral(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: Any = None,
    callback: Any = None,
    disable: bool | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
    noise_sampler: Any = None,
    *,
    seed: Any = None,
) -> Tensor:
    """DPM-Solver++(2S) to σ_down, then noise: :func:`pydiffcore.samplers.dpmpp_2s_ancestral`.

    Lu et al. 2022 (arXiv 2211.01095), Algorithm 1.
    """
    method = Method(methods.dpmpp_2s_ancestral, 2, _noisy(eta, s_noise))
    return run(method, model, x, sigmas, extra_args, callback, disable, noise_sampler, seed=seed)


def sample_dpmpp_sde(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: Any = None,
    callback: Any = None,
    disable: bool | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
    noise_sampler: Any = None,
    r: float = 0.5,
    *,
    seed: Any = None,
) -> Tensor:
    """DPM-Solver++ SDE: :func:`pydiffcore.samplers.dpmpp_sde`.

    A noise_sampler is asked for the draw to the middle and for that of the whole step, as
    k-diffusion does; our own noise has both from one Brownian path in σ.
    Lu et al. 2022 (arXiv 2211.01095), section 5.
    """
    options = _noisy(eta, s_noise, r=float(r), joint=noise_sampler is None)
    method = Method(samplers.dpmpp_sde, 2, options)
    return run(
        method, model, x, sigmas, extra_args, callback, disable, noise_sampler, seed=seed,
        in_kernel=True,
    )  # fmt: skip


def sample_dpmpp_2m_sde(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: Any = None,
    callback: Any = None,
    disable: bool | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
    noise_sampler: Any = None,
    solver_type: str = "midpoint",
    *,
    seed: Any = None,
) -> Tensor:
    """SDE-DPM-Solver++(2M): :func:`pydiffcore.samplers.dpmpp_2m_sde`.

    Lu et al. 2022 (arXiv 2211.01095), eq. 19.
    """
    if solver_type not in ("midpoint", "heun"):
        raise ValueError(f"solver_type is {solver_type!r}, expected 'midpoint' or 'heun'")
    method = Method(samplers.dpmpp_2m_sde, 1, _noisy(eta, s_noise, solver=solver_type))
    return run(
        method, model, x, sigmas, extra_args, callback, disable, noise_sampler, seed=seed,
        in_kernel=True,
    )  # fmt: skip


def sample_dpmpp_3m_sde(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: Any = None,
    callback: Any = None,
    disable: bool | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
    noise_sampler: Any = None,
    *,
    seed: Any = None,
    curvature: float = 0.5,
) -> Tensor:
    """SDE-DPM-Solver++(3M): :func:`pydiffcore.samplers.dpmpp_3m_sde`.

    k-diffusion has half of the third term, which makes the method second-order; the default does
    as it does, and ``curvature=1.0``, our own, is third-order.
    Lu et al. 2022 (arXiv 2211.01095), eq. 9.
    """
    options = _noisy(eta, s_noise, curvature=float(curvature))
    method = Method(samplers.dpmpp_3m_sde, 1, options)
    return run(
        method, model, x, sigmas, extra_args, callback, disable, noise_sampler, seed=seed,
        in_kernel=True,
    )  # fmt: skip
