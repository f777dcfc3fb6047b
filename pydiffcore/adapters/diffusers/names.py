# SPDX-License-Identifier: Apache-2.0
"""Every scheduler by diffusers' name."""

from pydiffcore.adapters.diffusers.family import Family
from pydiffcore.adapters.diffusers.routes import euler, table

__all__ = ["FAMILIES"]

FAMILIES: dict[str, Family] = {**table.FAMILIES, **euler.FAMILIES}
