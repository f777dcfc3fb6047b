# SPDX-License-Identifier: Apache-2.0
"""Nodes for ComfyUI: a SAMPLER for each of k-diffusion's functions that we have.

A folder in ``custom_nodes`` with one file ``__init__.py`` is enough:

    from pydiffcore.adapters.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

The noise of a stochastic sampler is made from the workflow's seed (image b of a batch has seed + b)
and is the same in any batch and on any device.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import Tensor

from pydiffcore.adapters import k_diffusion

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "sampler_function"]


def _number(default: float, high: float, low: float = 0.0) -> tuple[str, dict[str, Any]]:
    return "FLOAT", {"default": default, "min": low, "max": high, "step": 0.01, "round": False}


CHURN = {
    "s_churn": _number(0.0, 100.0),
    "s_tmin": _number(0.0, 1000.0),
    "s_tmax": _number(1000.0, 1000.0),
    "s_noise": _number(1.0, 100.0),
}
NOISE = {"eta": _number(1.0, 100.0), "s_noise": _number(1.0, 100.0)}
INPUTS: dict[str, dict[str, Any]] = {
    "euler": CHURN,
    "heun": CHURN,
    "dpm_2": CHURN,
    "lms": {"order": ("INT", {"default": 4, "min": 1, "max": 6})},
    "dpmpp_2m": {},
    "euler_ancestral": NOISE,
    "dpm_2_ancestral": NOISE,
    "dpmpp_2s_ancestral": NOISE,
    "dpmpp_sde": {**NOISE, "r": _number(0.5, 0.99, 0.01)},
    "dpmpp_2m_sde": {**NOISE, "solver_type": (["midpoint", "heun"],)},
    "dpmpp_3m_sde": NOISE,
}


def sampler_function(name: str) -> Callable[..., Tensor]:
    """Return a function for ``KSAMPLER``: ours of that name, its noise from the workflow's seed.

    Args:
        name: as in ``sample_<name>``.

    Raises:
        ValueError: when it runs, for noise on a flow model: there σ is the time t of
            x_t = (1 − t) x0 + t z, and noise of the EDM frame would miss the marginal.  Without
            noise each step is the same formula in both frames.

    """
    if name not in INPUTS:
        raise ValueError(f"name is {name!r}, expected one of {', '.join(INPUTS)}")
    function = getattr(k_diffusion, f"sample_{name}")

    def sample(
        model: Any,
        x: Tensor,
        sigmas: Tensor,
        extra_args: Any = None,
        callback: Any = None,
        disable: bool | None = None,
        **options: Any,
    ) -> Tensor:
        level = "eta" if "eta" in INPUTS[name] else "s_churn"
        if level in INPUTS[name]:
            if options.get(level, INPUTS[name][level][1]["default"]) > 0 and _is_flow(model):
                raise ValueError(
                    f"{name} with {level} above 0 adds noise, and this is a flow model, whose "
                    f"marginals that noise would miss: set {level} to 0"
                )
            if options.get("noise_sampler") is None:
                options.setdefault("seed", (extra_args or {}).get("seed"))
        return function(model, x, sigmas, extra_args, callback, disable, **options)

    sample.__name__ = f"sample_{name}"
    return sample


def _is_flow(model: Any) -> bool:
    """Whether the model inside its wrappers samples a flow, known by the class CONST."""
    for _ in range(5):
        sampling = getattr(model, "model_sampling", None)
        if sampling is not None:
            return any(base.__name__ == "CONST" for base in type(sampling).__mro__)
        model = getattr(model, "inner_model", None)
    return False


def _node(name: str) -> type:
    """Return the node class of one sampler."""

    class Node:
        RETURN_TYPES = ("SAMPLER",)
        CATEGORY = "sampling/custom_sampling/samplers"
        FUNCTION = "get_sampler"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": dict(INPUTS[name])}

        def get_sampler(self, **options: Any) -> tuple[Any]:
            sampler = import_module("comfy.samplers").KSAMPLER
            return (sampler(sampler_function(name), extra_options=options),)

    Node.__name__ = Node.__qualname__ = f"PydiffcoreSampler_{name}"
    return Node


NODE_CLASS_MAPPINGS = {f"PydiffcoreSampler_{name}": _node(name) for name in INPUTS}
NODE_DISPLAY_NAME_MAPPINGS = {f"PydiffcoreSampler_{name}": f"pydiffcore {name}" for name in INPUTS}
