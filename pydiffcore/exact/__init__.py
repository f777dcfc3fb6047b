# SPDX-License-Identifier: Apache-2.0
"""Exact denoisers: data laws whose D(x, sigma) = E[x0 | x0 + sigma z = x] has a closed form.

They are the oracle of samplers: no network error, and for Gaussian and one-dimensional mixture
data no unknown solution either.  One code serves NumPy arrays and torch tensors.
"""

from pydiffcore.exact.dataset import Dataset, dataset
from pydiffcore.exact.gaussian import Gaussian, gaussian
from pydiffcore.exact.mixture import Mixture, mixture

__all__ = ["Dataset", "Gaussian", "Mixture", "dataset", "gaussian", "mixture"]
