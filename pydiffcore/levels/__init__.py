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
from pydiffcore.levels.flow_shift import bong_tangent, flow_mu, flow_shift, linear_quadratic
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
    "beta57": "beta_timesteps(n, process, alpha=0.5, beta=0.7)",
    "flow": "flow_shift(n, shift)",
    "flux": "flow_shift(n, shift=math.exp(levels.flow_mu(tokens)))",
    "gits": "optimal(denoiser, n, sampler, x), searched for a model as GITS does,",
    "logsnr": "uniform_lambda(n, process)",
    "lu": "uniform_lambda(n, process)",
    "quad": "quadratic(n, process)",
    "sd3": "flow_shift(n, shift=3.0)",
    "time_quadratic": "uniform_t(n, process, power=2)",
    "time_uniform": "uniform_t(n, process)",
    "uniform": "uniform_t(n, process)",
    "use_beta_sigmas": "beta_sigmas",
    "use_exponential_sigmas": "exponential",
    "use_flow_sigmas": "flow_shift(n, shift)",
    "use_karras_sigmas": "karras",
    "use_lu_lambdas": "uniform_lambda(n, process)",
    "vp": "uniform_t(n, pydiffcore.process.vp())",
}


def __getattr__(name: str) -> object:
    from pydiffcore.hints import missing

    raise missing(__name__, name, __all__, ELSEWHERE)
