# SPDX-License-Identifier: Apache-2.0
"""Every scheduler by diffusers' name."""

from pydiffcore.adapters.diffusers.family import Family
from pydiffcore.adapters.diffusers.routes import (
    consistency,
    deis,
    dpm_multi,
    dpm_sde,
    dpm_single,
    edm,
    euler,
    flow,
    ipndm,
    lms,
    pndm,
    sa_solver,
    sde_ve,
    stages,
    table,
    unipc,
)

__all__ = ["FAMILIES"]

FAMILIES: dict[str, Family] = {
    **table.FAMILIES,
    **euler.FAMILIES,
    **stages.FAMILIES,
    **lms.FAMILIES,
    **pndm.FAMILIES,
    **consistency.FAMILIES,
    **sde_ve.FAMILIES,
    **dpm_multi.FAMILIES,
    **dpm_sde.FAMILIES,
    **dpm_single.FAMILIES,
    **edm.FAMILIES,
    **flow.FAMILIES,
    **ipndm.FAMILIES,
    **unipc.FAMILIES,
    **sa_solver.FAMILIES,
    **deis.FAMILIES,
}
