# SPDX-License-Identifier: Apache-2.0
"""The embedded data set: 1,797 scans of handwritten digits, 8×8 pixels, in three disjoint parts.

The scans come inside scikit-learn (the test part of UCI's "Optical Recognition of Handwritten
Digits", Alpaydin & Kaynak 1998), so nothing is downloaded.  Of every digit

    80 scans   diffusion    what diffusion models are trained on here       800
    60 scans   reference    what all distances are measured to              600
    the rest   judge        what the judge is trained on                    397

Each part holds scans that the two others do not.  Which scan goes where is a pure function of
its place in the data set: the order of unit normals of a fixed seed.
"""

from __future__ import annotations

import numpy as np

from pydiffcore.data.array import Array
from pydiffcore.ops.noise import AUGMENTATION, reference_normal

__all__ = ["CLASSES", "DIFFUSION", "REFERENCE", "digits", "parts"]

CLASSES = 10
DIFFUSION, REFERENCE = 80, 60  # scans per digit
SPLIT_SEED = 1797


def digits() -> Array:
    """Return the 800 digits to train diffusion models on.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    return parts()["diffusion"]


def parts() -> dict[str, Array]:
    """Return the parts diffusion, reference and judge, scaled from 0…16 to 0…255.

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
    cuts = [DIFFUSION, DIFFUSION + REFERENCE]
    by_digit = [np.split(order[labels[order] == digit], cuts) for digit in range(CLASSES)]
    names = tuple(str(digit) for digit in range(CLASSES))
    places = map(np.concatenate, zip(*by_digit, strict=True))
    return {
        part: Array(images[chosen], labels[chosen], where="digits", class_names=names)
        for part, chosen in zip(("diffusion", "reference", "judge"), places, strict=True)
    }
