# SPDX-License-Identifier: Apache-2.0
"""Predictions: what the output of a network means.

A network F sees c_in x and a label c_noise; its output gives the denoised prediction

    D(x; sigma) = c_skip x + c_out F(c_in x; c_noise),      x = x0 + sigma z  (EDM frame).

A prediction is the four coefficients as functions of the level sigma.  With x_t = alpha x the
network of a process sees x_t itself, so c_in = alpha there; sigma_t = alpha sigma below is the
noise scale of x_t.  Source of the form: Karras et al. 2022 (arXiv 2206.00364), eq. 7.
"""

from pydiffcore.prediction.core import Prediction
from pydiffcore.prediction.of_process import eps, score, v, velocity, x0
from pydiffcore.prediction.papers import (
    consistency,
    denoised,
    edm,
    iddpm,
    ncsn,
    trigflow,
    ve,
    vp,
)

__all__ = [
    "Prediction",
    "consistency",
    "denoised",
    "edm",
    "eps",
    "iddpm",
    "ncsn",
    "score",
    "trigflow",
    "v",
    "ve",
    "velocity",
    "vp",
    "x0",
]

ELSEWHERE = {
    "epsilon": "eps",
    "flow": "velocity",
    "flow_prediction": "velocity",
    "sample": "x0",
    "v_prediction": "v",
}


def __getattr__(name: str) -> object:
    from pydiffcore.hints import missing

    raise missing(__name__, name, __all__, ELSEWHERE)
