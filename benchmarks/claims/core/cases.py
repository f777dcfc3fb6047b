# SPDX-License-Identifier: Apache-2.0
"""The core's samplers from the tests' own list, and the data that they are measured on."""

import sys
from pathlib import Path

import numpy as np

from pydiffcore import exact, samplers

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))

import cases
from cases import VE

CORE = (
    samplers.euler, samplers.ddim, samplers.ancestral, samplers.ddpm, samplers.heun,
    samplers.dpmpp_2m, samplers.dpmpp_2m_sde, samplers.lms, samplers.ab_velocity,
    samplers.langevin, samplers.euler_maruyama, samplers.reverse_diffusion,
    samplers.pf_euler, samplers.pf_heun,
)  # fmt: skip
CASES = [case for case in cases.CASES if case.sampler in CORE]
EXACT = [case for case in CASES if case.exact]
STOCHASTIC = [case for case in CASES if case.order is None]

MIXTURE = exact.mixture(
    np.array([0.3, 0.7]), np.array([[-1.0, 0.5, 0.2], [0.8, -0.4, 0.1]]), np.array([0.3, 0.5])
)
GAUSSIAN = exact.gaussian(np.array([0.3, -0.2, 0.1]), np.array([0.5, 0.8, 0.3]))

__all__ = ["CASES", "EXACT", "GAUSSIAN", "MIXTURE", "STOCHASTIC", "VE"]
