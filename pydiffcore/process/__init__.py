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
from pydiffcore.process.cosine import cascade, tangent
from pydiffcore.process.flow import cosmos, flow
from pydiffcore.process.tables import discrete, iddpm, iddpm_levels

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
