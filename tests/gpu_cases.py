# SPDX-License-Identifier: Apache-2.0
"""What the tests on a CUDA device share: when they run, a network, samples."""

import pytest
import torch

import pydiffcore
from pydiffcore import levels, prediction, samplers
from pydiffcore.ops import native

REASON = native.unsupported("cuda") or (
    "" if torch.cuda.is_available() else "this torch sees no CUDA device"
)
MARKS = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(REASON), reason=REASON or "no device"),
    pytest.mark.usefixtures("one_algorithm"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode"),
]

SHAPE, SEEDS = (3, 16, 16), list(range(100, 108))
SAMPLERS = [samplers.heun, samplers.ancestral, samplers.dpmpp_2m, samplers.dpmpp_3m]


def traced(sampler, n=6):
    return pydiffcore.trace(sampler, levels.karras(n), prediction=prediction.edm())


def network(x, c_noise=None):
    """Exact products and sums alone, so that every device agrees on F."""
    return 0.5 * x + 0.25
