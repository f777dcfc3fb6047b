# SPDX-License-Identifier: Apache-2.0
"""The tests' own list of samplers, and the data that they are measured on."""

import sys
from pathlib import Path

import numpy as np

from pydiffcore import exact

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))

from cases import CASES, EXACT, STOCHASTIC, VE

MIXTURE = exact.mixture(
    np.array([0.3, 0.7]), np.array([[-1.0, 0.5, 0.2], [0.8, -0.4, 0.1]]), np.array([0.3, 0.5])
)
GAUSSIAN = exact.gaussian(np.array([0.3, -0.2, 0.1]), np.array([0.5, 0.8, 0.3]))

__all__ = ["CASES", "EXACT", "GAUSSIAN", "MIXTURE", "STOCHASTIC", "VE"]
