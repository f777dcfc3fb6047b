# SPDX-License-Identifier: Apache-2.0
"""What a model is: D(x, sigma), or one of k-diffusion's wrappers around a network.

A wrapper whose arithmetic is known is taken apart, D = c_skip·x + c_out·F(c_in·x; label), so that
its multiplications happen in the row's kernel.  Known are the classes of ``k_diffusion.external``
and ``k_diffusion.layers.Denoiser``, copies of them in other packages (``….k_diffusion.external``)
whose scalings are these, and their subclasses, unless these have a ``forward``, scalings or hooks
of their own or there are hooks for all modules.  A :class:`pydiffcore.Denoiser` says itself what
it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pydiffcore import prediction
from pydiffcore.denoiser import Denoiser
from pydiffcore.prediction import Prediction

__all__ = ["Network", "network_of"]


@dataclass(frozen=True)
class Network:
    """What is called between two rows.

    Attributes:
        call: called as ``call(input, label, **extra_args)``.
        prediction: what its output means.
        labels: turns the levels [n] of the calls into their labels [n]; None: those of the
            prediction.

    """

    call: Callable[..., Any]
    prediction: Prediction
    labels: Callable[[Tensor], Tensor] | None


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
PROBES = (0.05, 1.0, 20.0)


def _own(level: Tensor) -> Tensor:
    return level


def network_of(model: Any) -> Network:
    """Return the network inside a known wrapper or a Denoiser, or the model itself.

    Raises:
        TypeError: the model is no function.
        ValueError: a Denoiser does what k-diffusion's loop has no place for.

    """
    if isinstance(model, Denoiser):
        return _said(model)
    if not callable(model):
        raise TypeError(f"model is {type(model).__name__}, expected model(x, sigma, **extra_args)")
    whole = Network(model, prediction.denoised(), _own)
    for module, name, meaning, inner in KNOWN:
        for base in type(model).__mro__:
            if base.__name__ != name or not f".{base.__module__}".endswith(f".{module}"):
                continue
            if not _unchanged(model, base) or _scale(model) is None:
                return whole
            found = meaning(float(model.sigma_data))
            if base.__module__ != module and not _scaled_so(model, found):
                return whole
            return Network(getattr(model, inner), found, getattr(model, "sigma_to_t", _own))
    return whole


def _said(model: Denoiser) -> Network:
    if model.guidance is not None or model.learned_variance:
        raise ValueError(
            "model is a Denoiser with guidance or a learned variance, expected one without: "
            "pydiffcore.sample runs these"
        )
    condition = dict(model.condition)

    def call(x: Tensor, label: Tensor, **extra_args: Any) -> Any:
        return model.network(x, label, **{**condition, **extra_args})

    return Network(call, model.prediction, None)


def _scaled_so(model: Any, meaning: Prediction) -> bool:
    """Whether a copy's scalings, (c_skip,) c_out and c_in, are the ones of the class it copies."""
    expected = meaning.coefficients(np.array(PROBES))[:3]
    try:
        found = model.get_scalings(torch.tensor(PROBES, dtype=torch.float64))
        return len(found) in (2, 3) and all(
            np.allclose(torch.as_tensor(each).numpy(force=True), right, rtol=1e-6)
            for each, right in zip(found, expected[-len(found) :], strict=True)
        )
    except (TypeError, ValueError, RuntimeError):
        return False


def _unchanged(model: Any, base: type) -> bool:
    """Whether calling the model does what its known base class does, and nothing besides."""
    own = vars(model)
    everywhere = vars(torch.nn.modules.module)
    if any(everywhere.get(f"_global{hooks}") for hooks in HOOKS):
        return False
    if any(own.get(hooks) for hooks in HOOKS) or "forward" in own or "get_scalings" in own:
        return False
    parts = ("__call__", "forward", "get_scalings")
    return all(getattr(type(model), part, None) is getattr(base, part, None) for part in parts)


def _scale(model: Any) -> float | None:
    """Return sigma_data where it is a positive number."""
    value = getattr(model, "sigma_data", None)
    return float(value) if isinstance(value, int | float) and value > 0 else None
