# SPDX-License-Identifier: Apache-2.0
"""A task: one network, one sampler, one batch; what every contender is given alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

import pydiffcore
from benchmarks import policy, transformer
from benchmarks.gpu import networks
from benchmarks.gpu.scale import Scale
from pydiffcore import levels, prediction, process, samplers

__all__ = ["CASES", "POLICIES", "Case", "Task", "cases", "policy_network", "policy_task", "task"]

ALIGNED = 16  # numbers from one label to the next
COSINE = process.discrete(process.cosine_betas(100))
LINEAR = process.discrete(process.linear_betas(1000))
SAMPLERS = {"flow": "euler"}  # where a method's name is not its sampler's


@dataclass(frozen=True)
class Case:
    """A network and the sampler it is run with.

    Attributes:
        name: of the network.
        make: the network.
        shape: of one sample.
        method: "heun" for a network of EDM, "dpmpp_2m" for one that predicts noise.
        steps: per run, by batch where there are fewer at the largest.
        batches: at which it runs.
        compiled: those of them at which torch.compile of the network runs too.
    """

    name: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    method: str
    steps: Mapping[int, int]
    compiled: tuple[int, ...]


@dataclass
class Task:
    """What every contender is given.

    Attributes:
        case: name of the network.
        network: F(x, c_noise, **condition), its input and output of ``io``.
        method: "heun", "dpmpp_2m", "ddpm", "ddim" or "flow".
        steps, batch, shape: of a run.
        condition: tensors on the device, by name.
        io: the network's dtype; the state between two calls is float32.
        scale: how much is measured.
    """

    case: str
    network: Callable[..., Tensor]
    method: str
    steps: int
    batch: int
    shape: tuple[int, ...]
    device: torch.device
    scale: Scale
    condition: dict[str, Tensor] = field(default_factory=dict)
    io: torch.dtype = torch.bfloat16

    def __post_init__(self) -> None:
        self.prediction, self.plan = traced(self.method, self.steps)

    @property
    def size(self) -> tuple[int, ...]:
        """Shape of the state of a batch."""
        return (self.batch, *self.shape)

    def noise(self) -> Tensor:
        """Return an initial state, of the deviation with which the plan starts."""
        return self.plan.init_scale * torch.randn(self.size, device=self.device)

    def labels(self) -> list[Tensor]:
        """Return what the network is told at each call, [batch] each.

        Strides are those of ``pydiffcore.sample``, so that a compiled network serves both, and
        all are aligned, since compiled code copies what is not.
        """
        n = self.plan.nfe
        table = torch.zeros(n, ALIGNED, device=self.device)
        table[:, 0] = torch.tensor(self.plan.c_noise.tolist(), device=self.device)
        return list(table[:, :1].expand(-1, self.batch).unbind())


def indices(n: int, size: int) -> np.ndarray:
    """Return the timesteps (n − 1)·k, …, k, 0 with k = size // n."""
    return np.arange(n - 1, -1, -1) * (size // n)


def traced(method: str, n: int) -> tuple[prediction.Prediction, pydiffcore.Plan]:
    """Return what the network predicts, and the plan of n steps."""
    sampler = getattr(samplers, SAMPLERS.get(method, method))
    if method == "heun":
        means, scaling, clip, sigmas = prediction.edm(), None, None, levels.karras(n)
    elif method == "dpmpp_2m":
        means, scaling, clip = prediction.eps(LINEAR), LINEAR, None
        sigmas = levels.trailing(n, LINEAR)
    elif method == "flow":
        means, scaling, clip = prediction.velocity(), process.flow(), None
        sigmas = levels.flow_shift(n)
    else:
        means, scaling, clip = prediction.eps(COSINE), COSINE, (-1.0, 1.0)
        visited = COSINE.level(indices(n, 100).astype(float))
        sigmas = levels.explicit([*visited, 0.0], COSINE)
    return means, pydiffcore.trace(sampler, sigmas, means, clip=clip, scaling=scaling)


STEPS = {1: 18, 8: 18, 64: 18, 512: 6}  # at 512 a step of the large U-Net takes long
CASES = (
    Case("EDM U-Net", networks.Pixels, (3, 32, 32), "heun", STEPS, (1,)),
    Case(
        "DiT-S/2", lambda: networks.DiT(384, 12, 6), (4, 32, 32), "dpmpp_2m",
        dict.fromkeys((1, 8, 64, 512), 20), (1,),
    ),
    Case(
        "DiT-XL/2", lambda: networks.DiT(1152, 28, 16), (4, 32, 32), "dpmpp_2m", {8: 20}, (8,)
    ),
)  # fmt: skip
SMALL = (
    Case(
        "small U-Net", lambda: networks.Pixels(16, 1, 2), (3, 8, 8), "heun", {1: 4, 8: 3}, (1,)
    ),
    Case("small DiT", lambda: networks.DiT(16, 2, 2, 8), (4, 8, 8), "dpmpp_2m", {1: 5}, (1,)),
    Case("larger DiT", lambda: networks.DiT(32, 3, 2, 8), (4, 8, 8), "dpmpp_2m", {8: 5}, (8,)),
)  # fmt: skip


def cases(scale: Scale) -> tuple[Case, ...]:
    return SMALL if scale.small else CASES


def task(case: Case, network: nn.Module, batch: int, device: torch.device, scale: Scale) -> Task:
    """Return a case at one batch."""
    steps = case.steps[batch]
    return Task(case.name, network, case.method, steps, batch, case.shape, device, scale)


POLICIES: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module]]] = {
    "policy": (
        lambda: policy.Policy((256, 512, 1024)), lambda: policy.Policy((16, 32)),
    ),
    "transformer policy": (
        transformer.Transformer, lambda: transformer.Transformer(16, 2, 2),
    ),
}  # fmt: skip


def policy_network(
    name: str, device: torch.device, scale: Scale, io: torch.dtype = torch.bfloat16
) -> nn.Module:
    """Return an action policy, the U-Net or the transformer, by its name in ``POLICIES``."""
    return networks.ready(POLICIES[name][scale.small], device, io)


def policy_task(
    name: str,
    network: nn.Module,
    method: str,
    steps: int,
    device: torch.device,
    scale: Scale,
    io: torch.dtype = torch.bfloat16,
) -> Task:
    """Return a policy at batch 1: 16 actions of 7 numbers from an observation of 64."""
    observation = torch.randn(1, policy.OBSERVATION, device=device).to(io)
    shape, condition = (policy.HORIZON, policy.ACTION), {"observation": observation}
    return Task(name, network, method, steps, 1, shape, device, scale, condition, io)
