# SPDX-License-Identifier: Apache-2.0
"""SIGMAS nodes: our rules, as float32 levels, or times where the rule is one of flow models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pydiffcore import levels
from pydiffcore.adapters.k_diffusion.flow import time
from pydiffcore.adapters.nodes.inputs import Input, number, whole
from pydiffcore.levels import Levels

__all__ = ["NODES", "RULES"]

STEPS = {"steps": whole(20, 10000)}
ENDS = {
    "sigma_max": number(14.614642, 5000.0, step=0.001),
    "sigma_min": number(0.0291675, 5000.0, step=0.001),
}
SHARES = {"alpha": number(0.6, 50.0, 0.01), "beta": number(0.6, 50.0, 0.01)}
# name: the rule, its inputs, and whether it is a rule of flow models
RULES: dict[str, tuple[Callable[..., Levels], dict[str, Input], bool]] = {
    "karras": (levels.karras, {**ENDS, "rho": number(7.0, 100.0, 0.01)}, False),
    "exponential": (levels.exponential, ENDS, False),
    "polyexponential": (levels.polyexponential, {**ENDS, "rho": number(1.0, 100.0, 0.01)}, False),
    "kl_optimal": (levels.kl_optimal, ENDS, False),
    "beta_sigmas": (levels.beta_sigmas, {**ENDS, **SHARES}, False),
    "laplace": (
        levels.laplace,
        {**ENDS, "mu": number(0.0, 10.0, -10.0), "beta": number(0.5, 10.0, 0.01)},
        False,
    ),
    "ays": (levels.ays, {"model": (["sd1", "sdxl", "svd"],)}, False),
    "flow_shift": (levels.flow_shift, {"shift": number(3.0, 100.0, 0.01)}, True),
    "linear_quadratic": (levels.linear_quadratic, {"threshold": number(0.025, 0.99, 0.001)}, True),
    "bong_tangent": (
        levels.bong_tangent,
        {"pivot": number(0.6, 0.99, 0.01), "slope": number(0.2, 10.0, 0.01)},
        True,
    ),
}


def _node(name: str) -> type:
    """Return the node class of one rule."""
    rule, inputs, flow = RULES[name]

    class Node:
        RETURN_TYPES = ("SIGMAS",)
        CATEGORY = "sampling/custom_sampling/schedulers"
        FUNCTION = "get_sigmas"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {**STEPS, **inputs}}

        def get_sigmas(self, steps: int, **options: Any) -> tuple[Tensor]:
            sigma = rule(steps, **options).sigma
            return (torch.tensor(time(sigma) if flow else sigma, dtype=torch.float32),)

    Node.__name__ = Node.__qualname__ = f"PydiffcoreSigmas_{name}"
    return Node


NODES = {f"PydiffcoreSigmas_{name}": _node(name) for name in RULES}
