# SPDX-License-Identifier: Apache-2.0
"""Flow models in k-diffusion's loop: σ is the time t of x_t = (1 − t) x0 + t z.

They run in the EDM frame, at the level t/(1 − t), where the marginals of every sampler's noise are
right, and the state is kept in the flow's own scaling; t = 1 has no level, and 1e12 stands for it.
"""

from __future__ import annotations

from typing import Any

from pydiffcore import process
from pydiffcore.adapters.k_diffusion.wrapper import Network
from pydiffcore.levels.core import UNBOUNDED
from pydiffcore.prediction import Prediction, x0

__all__ = ["FLOW", "flow_network", "level", "time"]

FLOW = process.flow()


def _coefficients(sigma: Any) -> tuple[Any, Any, Any, Any]:
    c_skip, c_out, c_in, _ = x0(FLOW).coefficients(sigma)
    return c_skip, c_out, c_in, time(sigma)


DENOISED = Prediction("k_diffusion.flow", _coefficients)


def time(sigma: Any) -> Any:
    """Return t of a level."""
    return sigma / (1 + sigma)


def level(t: float) -> float:
    """Return the level of a time.

    Raises:
        ValueError: it is no time.

    """
    if not 0 <= t <= 1:
        raise ValueError(f"sigmas: {t} is no time of a flow, expected numbers from 0 to 1")
    return t / (1 - t) if t < 1 else UNBOUNDED


def flow_network(model: Any) -> Network:
    """Return a model(x_t, t, **extra_args) that answers with x0."""
    if not callable(model):
        raise TypeError(f"model is {type(model).__name__}, expected model(x, t, **extra_args)")
    return Network(model, DENOISED, None)
