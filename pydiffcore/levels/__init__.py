# SPDX-License-Identifier: Apache-2.0
"""Levels: the noise levels a sampler visits, sigma_0 > ... > sigma_n; see levels/core.py."""

from pydiffcore.levels.continuous import explicit, exponential, karras, uniform_t, ve
from pydiffcore.levels.core import Levels
from pydiffcore.levels.tables import iddpm, leading, linspace, trailing

__all__ = [
    "Levels",
    "explicit",
    "exponential",
    "iddpm",
    "karras",
    "leading",
    "linspace",
    "trailing",
    "uniform_t",
    "ve",
]
