# SPDX-License-Identifier: Apache-2.0
"""Levels: the noise levels a sampler visits, sigma_0 > ... > sigma_n; see levels/core.py."""

from pydiffcore.levels.ays import ays
from pydiffcore.levels.continuous import (
    explicit,
    explicit_t,
    exponential,
    karras,
    polyexponential,
    uniform_lambda,
    uniform_t,
    ve,
)
from pydiffcore.levels.core import Levels
from pydiffcore.levels.curves import beta_sigmas, kl_optimal, laplace
from pydiffcore.levels.edit import (
    at_percent,
    extend,
    flip,
    from_sigma,
    insert,
    set_first,
    split,
    start,
)
from pydiffcore.levels.flow import bong_tangent, flow_mu, flow_shift, linear_quadratic
from pydiffcore.levels.indices import (
    beta_timesteps,
    ddim_uniform,
    normal,
    quadratic,
    sgm_uniform,
    simple,
    space_timesteps,
)
from pydiffcore.levels.restart import restart
from pydiffcore.levels.search import Truncation, optimal, solve, trajectory_error, truncation
from pydiffcore.levels.tables import iddpm, leading, linspace, trailing

__all__ = [
    "Levels",
    "Truncation",
    "at_percent",
    "ays",
    "beta_sigmas",
    "beta_timesteps",
    "bong_tangent",
    "ddim_uniform",
    "explicit",
    "explicit_t",
    "exponential",
    "extend",
    "flip",
    "flow_mu",
    "flow_shift",
    "from_sigma",
    "iddpm",
    "insert",
    "karras",
    "kl_optimal",
    "laplace",
    "leading",
    "linear_quadratic",
    "linspace",
    "normal",
    "optimal",
    "polyexponential",
    "quadratic",
    "restart",
    "set_first",
    "sgm_uniform",
    "simple",
    "solve",
    "space_timesteps",
    "split",
    "start",
    "trailing",
    "trajectory_error",
    "truncation",
    "uniform_lambda",
    "uniform_t",
    "ve",
]

ELSEWHERE = {
    "align_your_steps": "ays",
    "beta": "beta_timesteps, or beta_sigmas for diffusers' use_beta_sigmas",
    "uniform": "uniform_t(n, process)",
    "vp": "uniform_t(n, pydiffcore.process.vp())",
}


def __getattr__(name: str) -> object:
    from pydiffcore.hints import missing

    raise missing(__name__, name, __all__, ELSEWHERE)
