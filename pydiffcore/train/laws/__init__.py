# SPDX-License-Identifier: Apache-2.0
"""Laws of the noise levels that a network is trained at; see laws/core.py.

One law goes by several names.  In the EDM level sigma = sigma_t / alpha a logit-normal flow time
is a lognormal level, uniform flow time a log-logistic level, SD3's CosMap the angle of v-diffusion,
and time importance-sampled for the likelihood is uniform in ln sigma, whatever the process.
"""

from pydiffcore.train.laws.core import Law, shifted, stratified
from pydiffcore.train.laws.level import (
    cosine_interpolated,
    log_logistic,
    lognormal,
    loguniform,
    split_lognormal,
    v_diffusion,
)
from pydiffcore.train.laws.time import (
    discrete_uniform,
    geometric,
    likelihood,
    logit_normal,
    mode,
    uniform_flow,
    uniform_t,
)

__all__ = [
    "Law",
    "cosine_interpolated",
    "discrete_uniform",
    "geometric",
    "likelihood",
    "log_logistic",
    "logit_normal",
    "lognormal",
    "loguniform",
    "mode",
    "shifted",
    "split_lognormal",
    "stratified",
    "uniform_flow",
    "uniform_t",
    "v_diffusion",
]
