# SPDX-License-Identifier: Apache-2.0
"""Bits: noise, and states after equal network outputs, are the CPU's to the last bit.

The network has exact products and sums alone, so that every device returns the same F.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

import pydiffcore
from benchmarks.gpu.scale import Scale
from pydiffcore import levels, prediction, samplers

__all__ = ["check"]

SEEDS = [0, 1, 7, 2**32, 2**63 + 5, 2**64 - 1]
SHAPES = [(1,), (5,), (16, 7), (3, 32, 32), (70001,)]
SAMPLERS: dict[str, dict[str, Any]] = {
    "euler": {}, "heun": {}, "ancestral": {}, "dpmpp_2m": {}, "dpmpp_2m_sde": {},
    "unipc": {"order": 3},
}  # fmt: skip
IO = (torch.float32, torch.bfloat16, torch.float16)


def network(x: Tensor, c_noise: Tensor) -> Tensor:
    return 0.5 * x + 0.25


def check(scale: Scale, device: torch.device) -> Iterator[dict[str, Any]]:
    """Yield for noise and for states how many comparisons there were and which of them differ."""
    yield summary("noise", [(f"{shape}", equal_noise(shape, device)) for shape in SHAPES])
    large = (10**4,) if scale.small else (10**7,)
    yield summary("noise, many", [(f"{large}", equal_noise(large, device))])
    states = [(f"{name} {io}", equal_states(name, io, device)) for name in SAMPLERS for io in IO]
    yield summary("states", states)


def summary(what: str, compared: list[tuple[str, bool]]) -> dict[str, Any]:
    differ = [case for case, equal in compared if not equal]
    return {"what": what, "compared": len(compared), "differ": differ, "holds": not differ}


def equal_noise(shape: tuple[int, ...], device: torch.device) -> bool:
    """Whether noise drawn on the device is that of the CPU."""
    sides = [
        pydiffcore.normal(SEEDS, shape, purpose=1, stream=3, device=where)
        for where in ("cpu", device)
    ]
    return same_bits(*sides)


def equal_states(name: str, io: torch.dtype, device: torch.device) -> bool:
    """Whether a run on the device ends in the CPU's state; both are the native kernels."""
    plan = pydiffcore.trace(
        getattr(samplers, name), levels.karras(8), prediction.edm(), **SAMPLERS[name]
    )
    model = pydiffcore.Denoiser(network, prediction.edm())
    sides = [
        pydiffcore.sample(
            model, plan, shape=(3, 17, 13), seeds=SEEDS, io_dtype=io, device=where,
            backend="native",
        )
        for where in ("cpu", device)
    ]  # fmt: skip
    return same_bits(*sides)


def same_bits(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.cpu().view(torch.int32), b.cpu().view(torch.int32))
