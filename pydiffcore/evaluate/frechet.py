# SPDX-License-Identifier: Apache-2.0
"""The Fréchet distance between two sets of features, each taken as a Gaussian.

    d² = |m_a − m_b|² + tr(C_a + C_b − 2 (C_a^½ C_b C_a^½)^½)

with means m and unbiased covariances C.  The estimate from finite sets is biased upwards, more
for smaller sets: compare only distances of equal set sizes.  Source: Dowson & Landau 1982;
Heusel et al. 2017 (arXiv 1706.08500) for its use on features of images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["frechet"]


def frechet(a: ArrayLike, b: ArrayLike) -> float:
    """Return the squared distance d² of two sets of features, computed in float64.

    Args:
        a, b: features [N_a, d] and [N_b, d], arrays or CPU tensors.

    Raises:
        ValueError: the sets are not such arrays, hold fewer than two rows, or are not finite.
    """
    sets = [_checked("a", a), _checked("b", b)]
    if sets[0].shape[1] != sets[1].shape[1]:
        raise ValueError(f"a has {sets[0].shape[1]} features and b {sets[1].shape[1]}")
    (m_a, C_a), (m_b, C_b) = ((s.mean(0), np.atleast_2d(np.cov(s, rowvar=False))) for s in sets)
    root = _root(C_a)
    # The product is symmetric with the eigenvalues of C_a C_b; rounding makes zeros negative.
    mixed = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ C_b @ root), 0.0)).sum()
    distance = np.square(m_a - m_b).sum() + np.trace(C_a) + np.trace(C_b) - 2 * mixed
    return float(max(distance, 0.0))


def _root(C: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(C)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def _checked(name: str, value: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(value, np.float64)
    if array.ndim != 2 or len(array) < 2:
        raise ValueError(f"{name} has shape {array.shape}, expected [N, d] with at least 2 rows")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds a value that is not finite")
    return array
