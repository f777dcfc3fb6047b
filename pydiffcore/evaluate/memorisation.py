# SPDX-License-Identifier: Apache-2.0
"""Memorisation: are samples nearer to training images than unseen real images are?

Distances are Euclidean, in pixels of [−1, 1], to the nearest training image.  A model that has
learnt the distribution has samples as far from its training images as held-out images are; one
that copies has samples at distance 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Memorisation", "memorisation", "nearest"]

COPY_QUANTILE = 0.01


@dataclass(frozen=True)
class Memorisation:
    """Distances to the nearest training image.

    Attributes:
        median: of the samples.
        median_real: of held-out real images.
        quantile_real: the 1 % quantile of held-out real images.
        share_near: of samples nearer than ``quantile_real``; 0.01 is what real images have.
    """

    median: float
    median_real: float
    quantile_real: float
    share_near: float

    @property
    def ratio(self) -> float:
        """Median of the samples over that of held-out images: 1 is ideal, 0 is copying."""
        return self.median / self.median_real


def nearest(images: Tensor, training: Tensor) -> Tensor:
    """Return the distance of every image to its nearest training image, float64 [N].

    Args:
        images: [N, *].
        training: [M, *], at least one.

    Raises:
        ValueError: the images have different shapes, or there is no training image.
    """
    if images.shape[1:] != training.shape[1:] or len(training) == 0:
        raise ValueError(
            f"images and training have shapes {tuple(images.shape)} and {tuple(training.shape)}, "
            "expected [N, *] and [M, *] with M > 0"
        )
    a, b = images.flatten(1).double(), training.flatten(1).double()
    # The form by matrix products loses the small distances that copies have.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").amin(dim=1)


def memorisation(samples: Tensor, training: Tensor, held_out: Tensor) -> Memorisation:
    """Compare the samples' distances to the training images with those of held-out images.

    Args:
        samples, training, held_out: images [N, *] of one shape and scale.

    Raises:
        ValueError: the images have different shapes, or a set is empty.
    """
    if not len(samples) or not len(held_out):
        raise ValueError(f"there are {len(samples)} samples and {len(held_out)} held-out images")
    near, real = nearest(samples, training), nearest(held_out, training)
    quantile = real.quantile(COPY_QUANTILE)
    return Memorisation(
        median=float(near.median()),
        median_real=float(real.median()),
        quantile_real=float(quantile),
        share_near=float((near < quantile).double().mean()),
    )
