# SPDX-License-Identifier: Apache-2.0
"""The embedded data set: 800 scans of handwritten digits, 8×8, 80 of each.

They are the part of scikit-learn's digits that diffusion models are trained on here; the other 997
judge what such a model draws, and stay out of its training.  Which scans these are is a pure
function of their places: the order of unit normals of a fixed seed.
"""

from __future__ import annotations

import numpy as np

from pydiffcore.data.array import Array
from pydiffcore.ops.noise import AUGMENTATION, reference_normal

__all__ = ["digits"]

PER_CLASS, CLASSES = 80, 10
SPLIT_SEED = 1797


def digits() -> Array:
    """Return the digits, scaled from 0…16 to 0…255.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError(
            "the digits come with scikit-learn: pip install 'pydiffcore[digits]'"
        ) from None
    scans, labels = load_digits(return_X_y=True)
    images = np.rint(scans.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    order = np.argsort(reference_normal([SPLIT_SEED], len(labels), purpose=AUGMENTATION)[0])
    places = np.concatenate([order[labels[order] == d][:PER_CLASS] for d in range(CLASSES)])
    names = tuple(str(digit) for digit in range(CLASSES))
    return Array(images[places], labels[places], where="digits", class_names=names)
