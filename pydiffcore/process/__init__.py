# SPDX-License-Identifier: Apache-2.0
"""Processes: x_t = alpha(t) x0 + sigma(t) eps as functions of time; see process/core.py."""

from pydiffcore.process.azula import azula_cosine, azula_decay, azula_rectified, azula_vp
from pydiffcore.process.betas import (
    alpha_bar_betas,
    const_betas,
    cosine_betas,
    exp_betas,
    jsd_betas,
    laplace_diffusers_betas,
    linear_betas,
    quad_betas,
    rescale_zero_terminal_snr,
    scaled_linear_betas,
    sigmoid_betas,
    warmup_betas,
)
from pydiffcore.process.continuous import edm, sub_vp, ve, ve_sqrt, vp, vp_between
from pydiffcore.process.core import Curve, Process
from pydiffcore.process.flow import cosmos, flow
from pydiffcore.process.tables import discrete, iddpm, iddpm_levels
from pydiffcore.process.tangent import cascade, tangent

__all__ = [
    "Curve",
    "Process",
    "alpha_bar_betas",
    "azula_cosine",
    "azula_decay",
    "azula_rectified",
    "azula_vp",
    "cascade",
    "const_betas",
    "cosine_betas",
    "cosmos",
    "discrete",
    "edm",
    "exp_betas",
    "flow",
    "iddpm",
    "iddpm_levels",
    "jsd_betas",
    "laplace_diffusers_betas",
    "linear_betas",
    "quad_betas",
    "rescale_zero_terminal_snr",
    "scaled_linear_betas",
    "sigmoid_betas",
    "sub_vp",
    "tangent",
    "ve",
    "ve_sqrt",
    "vp",
    "vp_between",
    "warmup_betas",
]

ELSEWHERE = {
    "cosine": "discrete(process.cosine_betas()), or tangent() in continuous time,",
    "ddpm": "discrete(process.linear_betas())",
    "laplace": "discrete(process.laplace_diffusers_betas()), or the levels levels.laplace(n),",
    "linear": "discrete(process.linear_betas()), or with scaled_linear_betas() as latent "
    "diffusion's own code means it,",
    "quad": "discrete(process.quad_betas())",
    "rectified": "flow()",
    "rectified_flow": "flow()",
    "scaled_linear": "discrete(process.scaled_linear_betas())",
    "sigmoid": "discrete(process.sigmoid_betas())",
    "squaredcos_cap_v2": "discrete(process.cosine_betas())",
    "subvp": "sub_vp()",
    "zero_snr": "discrete(process.rescale_zero_terminal_snr(betas))",
    "zsnr": "discrete(process.rescale_zero_terminal_snr(betas))",
}


def __getattr__(name: str) -> object:
    from pydiffcore.hints import missing

    raise missing(__name__, name, __all__, ELSEWHERE)
