# SPDX-License-Identifier: Apache-2.0
"""SAMPLER nodes: k-diffusion's functions that we have, and plans of ours by ComfyUI's names.

On a flow model, by its class CONST, σ is the time t of x_t = (1 − t) x0 + t z.  Without noise each
step of an ODE's sampler is the same formula in t; with noise a sampler runs in the EDM frame, where
the marginals of its noise are right.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from torch import Tensor

from pydiffcore import samplers
from pydiffcore.adapters import k_diffusion
from pydiffcore.adapters.k_diffusion import method as methods
from pydiffcore.adapters.k_diffusion.method import Method
from pydiffcore.adapters.k_diffusion.run import run
from pydiffcore.adapters.nodes.inputs import Input, defaults, number, whole

__all__ = ["INPUTS", "NODES", "PLANS", "sampler_function"]

CHURN = {
    "s_churn": number(0.0, 100.0),
    "s_tmin": number(0.0, 1000.0),
    "s_tmax": number(1000.0, 1000.0),
    "s_noise": number(1.0, 100.0),
}
NOISE = {"eta": number(1.0, 100.0), "s_noise": number(1.0, 100.0)}
# names in k-diffusion
FUNCTIONS: dict[str, dict[str, Input]] = {
    "euler": CHURN,
    "heun": CHURN,
    "dpm_2": CHURN,
    "lms": {"order": whole(4, 6)},
    "dpmpp_2m": {},
    "euler_ancestral": NOISE,
    "dpm_2_ancestral": NOISE,
    "dpmpp_2s_ancestral": NOISE,
    "dpmpp_sde": {**NOISE, "r": number(0.5, 0.99, 0.01)},
    "dpmpp_2m_sde": {**NOISE, "solver_type": (["midpoint", "heun"],)},
    "dpmpp_3m_sde": NOISE,
}
# ComfyUI's names: what runs, and its inputs
PLANS: dict[str, tuple[Callable[..., Any], dict[str, Input]]] = {
    "ddpm": (samplers.ddpm, {}),
    "deis": (samplers.deis, {"order": whole(3, 4)}),
    "er_sde": (samplers.er_sde, {"order": whole(3, 3), "s_noise": number(1.0, 100.0)}),
    "gradient_estimation": (samplers.gradient_estimation, {"gamma": number(2.0, 5.0)}),
    "heunpp2": (samplers.heunpp2, {}),
    "ipndm": (samplers.ipndm, {"order": whole(4, 4)}),
    "ipndm_v": (samplers.ipndm_v, {"order": whole(4, 4)}),
    "lcm": (samplers.lcm, {}),
    "res_multistep": (samplers.res_multistep, {"order": whole(2, 4)}),
    "res_multistep_ancestral": (samplers.res_multistep, {"order": whole(2, 4), **NOISE}),
    "sa_solver": (
        samplers.sa_solver,
        {"tau": number(1.0, 10.0), "predictor": whole(3, 4), "corrector": whole(4, 4, 0)},
    ),
    "sa_solver_pece": (
        partial(samplers.sa_solver, pece=True),
        {"tau": number(1.0, 10.0), "predictor": whole(3, 4), "corrector": whole(4, 4, 0)},
    ),
    "seeds_2": (samplers.seeds_2, {**NOISE, "r": number(0.5, 1.0, 0.01)}),
    "seeds_3": (
        samplers.seeds_3,
        {**NOISE, "r1": number(1 / 3, 0.99, 0.01), "r2": number(2 / 3, 1.0, 0.02)},
    ),
    "uni_pc": (samplers.ALIASES["uni_pc"], {"order": whole(3, 4)}),
    "uni_pc_bh2": (samplers.ALIASES["uni_pc_bh2"], {"order": whole(3, 4)}),
}
INPUTS: dict[str, dict[str, Input]] = {
    **FUNCTIONS,
    "dpm_fast": {},
    **{name: inputs for name, (_, inputs) in PLANS.items()},
}
# what a flow model with noise runs, and what k-diffusion's options are called there
FLOWS: dict[str, tuple[Callable[..., Any], dict[str, str]]] = {
    "euler_ancestral": (samplers.flow_euler_ancestral, {}),
    "dpmpp_2s_ancestral": (methods.dpmpp_2s_ancestral, {}),
    "dpmpp_sde": (samplers.dpmpp_sde, {}),
    "dpmpp_2m_sde": (samplers.dpmpp_2m_sde, {"solver_type": "solver"}),
    "dpmpp_3m_sde": (partial(samplers.dpmpp_3m_sde, curvature=0.5), {}),
    **{name: (sampler, {}) for name, (sampler, _) in PLANS.items()},
}
NOISY = ("ddpm", "er_sde", "lcm")  # whatever their options


def sampler_function(name: str) -> Callable[..., Tensor]:
    """Return a function for ``KSAMPLER``: ours of that name, its noise from the workflow's seed.

    Args:
        name: as in ComfyUI's list of samplers.

    Raises:
        ValueError: when it runs, for noise on a flow model with a sampler whose steps are
            polynomials in σ: it is infinite at t = 1.

    """
    if name not in INPUTS:
        raise ValueError(f"name is {name!r}, expected one of {', '.join(INPUTS)}")

    def sample(
        model: Any,
        x: Tensor,
        sigmas: Tensor,
        extra_args: Any = None,
        callback: Any = None,
        disable: bool | None = None,
        **options: Any,
    ) -> Tensor:
        options = {**defaults(INPUTS[name]), **options}
        common = (extra_args, callback, disable)
        seed = (extra_args or {}).get("seed")
        if _is_flow(model) and (level := _noise_level(name, options)):
            method = _flow_method(name, level, options)
            return run(method, model, x, sigmas, *common, seed=seed, in_kernel=True, flow=True)
        if name in PLANS:
            given = options.pop("noise_sampler", None)
            method, own = Method(PLANS[name][0], None, tuple(options.items())), given is None
            seed = seed if own else None
            return run(method, model, x, sigmas, *common, given, seed=seed, in_kernel=own)
        function = getattr(k_diffusion, f"sample_{name}")
        if name == "dpm_fast":
            low = float(sigmas[sigmas > 0][-1])
            return function(model, x, low, float(sigmas[0]), len(sigmas) - 1, *common)
        if not {"eta", "s_churn"}.isdisjoint(INPUTS[name]) and not options.get("noise_sampler"):
            options.setdefault("seed", seed)
        return function(model, x, sigmas, *common, **options)

    sample.__name__ = f"sample_{name}"
    return sample


def _noise_level(name: str, options: dict[str, Any]) -> str:
    """Return the option that makes a sampler draw noise, "" where nothing does."""
    if name in NOISY:
        return name
    found = [each for each in ("eta", "s_churn", "tau") if options.get(each, 0) > 0]
    return found[0] if found else ""


def _flow_method(name: str, level: str, options: dict[str, Any]) -> Method:
    """Return what runs on a flow model with noise."""
    if name not in FLOWS:
        raise ValueError(
            f"{name} with {level} above 0 adds noise, and this is a flow model, whose level is "
            f"infinite at t = 1, where {name} has no step: set {level} to 0"
        )
    if options.get("noise_sampler") is not None:
        raise ValueError("noise_sampler is given, expected none on a flow model: its levels differ")
    sampler, names = FLOWS[name]
    given = {names.get(key, key): value for key, value in options.items()}
    given.pop("noise_sampler", None)
    return Method(sampler, None, tuple(given.items()))


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


NODES = {f"PydiffcoreSampler_{name}": _node(name) for name in INPUTS}
