# SPDX-License-Identifier: Apache-2.0
"""A finite data set: the denoiser that a network trained on it without limit would become."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pydiffcore.exact.frame import (
    TINY,
    Constant,
    FloatArray,
    cast,
    column,
    in_chunks,
    like,
    module_of,
    parameter,
    rows,
    softmax,
)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Data drawn from finitely many points as a callable D(x, sigma); made by dataset().

        D = sum_i r_i y_i,    r_i proportional to exp(-|x - y_i|^2 / (2 sigma^2)),

    the nearest point in the limit sigma -> 0.  Methods take x [B, *] (NumPy or torch; computed in
    float64, returned in the dtype of x) and sigma, a number or [B].  They raise TypeError or
    ValueError when x is not of the points' shape, or a level is negative or not finite.

    Fields:
        shape: the shape * of one sample.
        center: mean of the points, [d].
        centred: points minus center, [N, d].
        labels: class of each point, int64 [N], or None.
    """

    shape: tuple[int, ...]
    center: Constant
    centred: Constant
    labels: NDArray[np.int64] | None

    def __call__(self, x: Any, sigma: Any, labels: Any = None) -> Any:
        """Return D(x, sigma) = E[x0 | x0 + sigma z = x], [B, *].

        Args:
            x: [B, *].
            sigma: a number or [B].
            labels: whole numbers, one or [B]: use the points of that class only.

        Raises:
            ValueError: also for labels without a labelled data set, or a class without points.

        """
        flat, level = rows(x, self.shape), column("sigma", sigma, x)
        points, center = self.centred.like(x), self.center.like(x)
        norms = 0.5 * (points * points).sum(-1)
        wanted_labels = None if labels is None else self._wanted(labels, x)
        classes = None if labels is None else like(self.labels, x)

        def denoise(flat: Any, level: Any, wanted: Any = None) -> Any:
            # |x|^2 is common to all points, and without it nothing large cancels.
            xp = module_of(flat)
            variance = xp.clip(level * level, TINY, None)
            logits = ((flat - center) @ points.T - norms) / variance
            if wanted is not None:
                logits = xp.where(wanted == classes, logits, -xp.inf)
            return center + softmax(logits) @ points

        arrays = [flat, level] if wanted_labels is None else [flat, level, wanted_labels]
        return cast(in_chunks(denoise, points.shape[0], *arrays), x).reshape(x.shape)

    def score(self, x: Any, sigma: Any, labels: Any = None) -> Any:
        """Return grad log p_sigma(x) = (D - x) / sigma^2, [B, *]; sigma must be positive."""
        level = column("sigma", sigma, x)
        if bool((level == 0.0).any()):
            raise ValueError("sigma must be positive: points have no density at level 0")
        wide = like(x, x)
        difference = (self(wide, sigma, labels) - wide).reshape(x.shape[0], -1)
        return cast(difference / level / level, x).reshape(x.shape)

    @property
    def points(self) -> FloatArray:
        """The points, float64 [N, *]."""
        return (self.centred.values + self.center.values).reshape(-1, *self.shape)

    def _wanted(self, labels: Any, x: Any) -> Any:
        if self.labels is None:
            raise ValueError("labels were given, but the data set has none")
        host = labels.cpu().numpy() if hasattr(labels, "cpu") else np.asarray(labels)
        if host.ndim > 1 or host.size not in (1, x.shape[0]):
            raise ValueError(f"labels must be one or [{x.shape[0]}], got shape {host.shape}")
        missing = np.setdiff1d(host, self.labels)
        if missing.size:
            raise ValueError(f"labels must be classes of the data set, got {missing.tolist()}")
        return like(np.broadcast_to(host.reshape(-1), (x.shape[0],)).copy(), x)[:, None]


def dataset(points: ArrayLike, labels: ArrayLike | None = None) -> Dataset:
    """Return the optimal denoiser of a finite data set; see Dataset.

    A call needs memory for at most 2^22 weights at a time, or N where N is larger.

    Args:
        points: [N, *], N >= 1.
        labels: class of each point, whole numbers [N]; needed for calls with labels.

    Raises:
        ValueError: for an empty set, values that are not finite, or labels of another shape or not
            whole.

    Source: Karras et al. 2022 (arXiv 2206.00364), eq. 57 (appendix B.3).

    """
    y = parameter("points", points)
    if y.ndim == 0 or y.shape[0] == 0:
        raise ValueError(f"points must have shape [N, *] with N >= 1, got {y.shape}")
    classes = None
    if labels is not None:
        given = np.asarray(labels)
        if given.shape != (y.shape[0],) or not np.issubdtype(given.dtype, np.integer):
            raise ValueError(
                f"labels must be whole numbers of shape [{y.shape[0]}], "
                f"got {given.dtype} of shape {given.shape}"
            )
        classes = given.astype(np.int64)
    flat = y.reshape(y.shape[0], -1)
    center = flat.mean(0)
    return Dataset(y.shape[1:], Constant(center), Constant(flat - center), classes)
