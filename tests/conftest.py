# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a denoiser with structure, exact in closed form."""

import numpy as np
import pytest

from pydiffcore import exact


@pytest.fixture
def mixture():
    """A two-component Gaussian mixture in three dimensions: D(x, sigma)."""
    return exact.mixture(
        weights=np.array([0.3, 0.7]),
        means=np.array([[-1.0, 0.5, 0.2], [0.8, -0.4, 0.1]]),
        stds=np.array([0.3, 0.5]),
    )
