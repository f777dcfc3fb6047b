# SPDX-License-Identifier: Apache-2.0
"""What a model is: D(x, sigma), or one of k-diffusion's wrappers around a network.

A wrapper whose arithmetic is known is taken apart, D = c_skip·x + c_out·F(c_in·x; label), so that
its multiplications happen in the row's kernel.  Known are the classes of ``k_diffusion.external``
and ``k_diffusion.layers.Denoiser`` and their subclasses, unless these have a ``forward``, scalings
or hooks of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from pydiffcore import prediction
from pydiffcore.prediction import Prediction

__all__ = ["Network", "network_of"]


@dataclass(frozen=True)
class Network:
    """What is called between two rows.

    Attributes:
        call: called as ``call(input, label, **extra_args)``.
        prediction: what its output means.
        labels: turns the levels [n] of the calls into their labels [n].

    """

    call: Callable[..., Any]
    prediction: Prediction
    labels: Callable[[Tensor], Tensor]


def _eps(sigma_data: float) -> Prediction:
    """D = x − σF(x/sqrt(σ² + σ_data²))."""

    def coefficients(sigma: Any) -> tuple[Any, Any, Any, Any]:
        sigma = np.asarray(sigma, np.float64)
        return np.ones_like(sigma), -sigma, 1 / np.hypot(sigma, sigma_data), sigma

    return Prediction(f"k_diffusion.eps(sigma_data={sigma_data!r})", coefficients)


# module, class, what its output means, the method that calls the network
KNOWN: tuple[tuple[str, str, Callable[[float], Prediction], str], ...] = (
    ("k_diffusion.external", "DiscreteEpsDDPMDenoiser", _eps, "get_eps"),
    ("k_diffusion.external", "DiscreteVDDPMDenoiser", prediction.trigflow, "get_v"),
    ("k_diffusion.external", "VDenoiser", prediction.trigflow, "inner_model"),
    ("k_diffusion.layers", "Denoiser", prediction.edm, "inner_model"),
)
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def _own(level: Tensor) -> Tensor:
    return level


def network_of(model: Any) -> Network:
    """Return the network inside a known wrapper, or the model itself."""
    if not callable(model):
        raise TypeError(f"model is {type(model).__name__}, expected model(x, sigma, **extra_args)")
    whole = Network(model, prediction.denoised(), _own)
    for module, name, meaning, inner in KNOWN:
        for base in type(model).__mro__:
            if (base.__module__, base.__name__) == (module, name):
                known = _unchanged(model, base) and _scale(model) is not None
                if not known:
                    return whole
                labels = getattr(model, "sigma_to_t", _own)
                return Network(getattr(model, inner), meaning(float(model.sigma_data)), labels)
    return whole


def _unchanged(model: Any, base: type) -> bool:
    """Whether calling the model does what its known base class does, and nothing besides."""
    own = vars(model)
    if any(own.get(hooks) for hooks in HOOKS) or "forward" in own or "get_scalings" in own:
        return False
    parts = ("__call__", "forward", "get_scalings")
    return all(getattr(type(model), part, None) is getattr(base, part, None) for part in parts)


def _scale(model: Any) -> float | None:
    """Return sigma_data where it is a positive number."""
    value = getattr(model, "sigma_data", None)
    return float(value) if isinstance(value, int | float) and value > 0 else None
