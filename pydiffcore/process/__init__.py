# SPDX-License-Identifier: Apache-2.0
"""Processes: x_t = alpha(t) x0 + sigma(t) eps as functions of time; see process/core.py."""

from pydiffcore.process.continuous import edm, flow, sub_vp, ve, ve_sqrt, vp
from pydiffcore.process.core import Curve, Process
from pydiffcore.process.tables import (
    cosine_betas,
    discrete,
    iddpm,
    iddpm_levels,
    linear_betas,
    scaled_linear_betas,
)

__all__ = [
    "Curve",
    "Process",
    "cosine_betas",
    "discrete",
    "edm",
    "flow",
    "iddpm",
    "iddpm_levels",
    "linear_betas",
    "scaled_linear_betas",
    "sub_vp",
    "ve",
    "ve_sqrt",
    "vp",
]
