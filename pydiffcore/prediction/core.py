# SPDX-License-Identifier: Apache-2.0
"""What a prediction is: four coefficients as functions of the level."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Coefficients = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


@dataclass(frozen=True)
class Prediction:
    """The coefficients of D = c_skip x + c_out F(c_in x; c_noise).

    Fields:
        name: the prediction with all its parameters; equality and hash use it.
        coefficients: sigma (number or float64 array) -> (c_skip, c_out, c_in, c_noise), each
            float64 of the shape of sigma.  A c_noise that is a logarithm of sigma is -inf at 0.
            Raises ValueError for a sigma that is NaN, negative or infinite.
    """

    name: str
    coefficients: Callable[[ArrayLike], Coefficients] = field(compare=False, repr=False)


def predicted(name: str, formula: Callable[[FloatArray], tuple[Any, Any, Any, Any]]) -> Prediction:
    """Return the prediction of a formula for (c_skip, c_out, c_in, c_noise) of sigma."""

    def of(value: Any, sigma: FloatArray) -> FloatArray:
        if type(value) is np.ndarray and value.dtype == np.float64 and value.shape == sigma.shape:
            return value if value is not sigma else value.copy()
        return np.broadcast_to(value, sigma.shape).astype(np.float64)

    def coefficients(sigma: ArrayLike) -> Coefficients:
        sigma = np.asarray(sigma, dtype=np.float64)
        if sigma.size and not (sigma.min() >= 0.0 and sigma.max() < np.inf):
            raise ValueError(f"sigma must be finite and not negative, got {sigma!r}")
        with np.errstate(divide="ignore"):
            skip, out, scale, label = formula(sigma)
        return of(skip, sigma), of(out, sigma), of(scale, sigma), of(label, sigma)

    return Prediction(name, coefficients)
