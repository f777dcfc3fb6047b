# SPDX-License-Identifier: Apache-2.0
"""Names of other libraries: those that are a sampler of ours exactly, and hints for the rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pydiffcore.samplers.deis import deis
from pydiffcore.samplers.dpm_solver import dpm_fast
from pydiffcore.samplers.dpmpp import dpmpp_2m_sde
from pydiffcore.samplers.dpmpp_single import dpmpp_2s_ancestral, dpmpp_sde
from pydiffcore.samplers.euler import ancestral, euler
from pydiffcore.samplers.heun import heun
from pydiffcore.samplers.runge_kutta import dpm_2, dpm_2_ancestral, kutta
from pydiffcore.samplers.unipc import unipc

__all__ = ["ALIASES", "ELSEWHERE"]

# ComfyUI and the web UI run UniPC at order 3 and down to 1; its authors leave both to the caller
UNI_PC = partial(unipc, order=3, lower_order_final=True)

ALIASES: dict[str, Callable[..., Any]] = {
    "dpm2": dpm_2,
    "dpm2_a": dpm_2_ancestral,
    "dpm2_ancestral": dpm_2_ancestral,
    "dpm_2_a": dpm_2_ancestral,
    "dpm_solver_1": euler,
    "dpm_solver_fast": dpm_fast,
    "dpmpp_2m_sde_gpu": dpmpp_2m_sde,
    "dpmpp_2m_sde_heun": partial(dpmpp_2m_sde, solver="heun"),
    "dpmpp_2s_a": dpmpp_2s_ancestral,
    "dpmpp_sde_gpu": dpmpp_sde,
    "euler_a": ancestral,
    "euler_ancestral": ancestral,
    "flow_euler": euler,
    "heun2": heun,
    "heun_2s": heun,
    "kutta3": kutta,
    "rho_ab": partial(deis, space="rho"),
    "t_ab": partial(deis, space="t"),
    "uni_pc": partial(UNI_PC, variant="bh1"),
    "uni_pc_bh2": UNI_PC,
}

ELSEWHERE: dict[str, str] = {
    "ald": "langevin, or predictor_corrector(delta=2·snr²) for the score-SDE code's corrector,",
    "cm": "consistency",
    "ddpm_large": "ddpm(variance='large')",
    "ddpm_small": "ddpm(variance='small')",
    "dpmpp_2m_karras": "dpmpp_2m, on levels.karras(n),",
    "dpmpp_2m_sde_karras": "dpmpp_2m_sde, on levels.karras(n),",
    "dpmpp_3m_sde_gpu": "dpmpp_3m_sde(curvature=0.5)",
    "dpmpp_3m_sde_heun": "dpmpp_3m_sde",
    "dpmpp_sde_karras": "dpmpp_sde, on levels.karras(n),",
    "edm": "heun(churn=…)",
    "edm_sampler": "heun(churn=S_churn, s_min=S_min, s_max=S_max, s_noise=S_noise)",
    "flow_match_euler": "euler, on levels.flow_shift(n, shift),",
    "heunpp": "heunpp2",
    "ncsn": "langevin",
    "ncsnv2": "langevin(convention='ncsnv2')",
    "pc": "predictor_corrector",
    "pc_sampler": "predictor_corrector",
    "res_2m": "res_multistep(order=2)",
    "res_3m": "res_multistep(order=3)",
    "res_multistep_ancestral": "res_multistep(eta=1.0)",
    "sa_solver_pece": "sa_solver(pece=True)",
}
