# SPDX-License-Identifier: Apache-2.0
"""AdamW whose fused step finds its tensors once.

torch's own step asks, at every step and for every weight, what kind of tensor it is and where its
moments are: for a network of small layers that takes longer than the moments' arithmetic.  State,
numbers and their bits are torch's.  Of weights that are sharded each rank steps its own part.
Source: Loshchilov & Hutter 2019 (arXiv 1711.05101).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pydiffcore.train.shard import local

__all__ = ["AdamW"]

NAMES = ("exp_avg", "exp_avg_sq", "step")


class AdamW(torch.optim.AdamW):
    """torch.optim.AdamW of one group of weights on one device, with :meth:`step_at_once`."""

    _of: Any = None  # the state that the lists were found in
    _found: tuple[list[Tensor], ...] = ()

    @torch.no_grad()
    def step_at_once(self) -> None:
        """Do what ``step()`` does; as torch does it where a gradient or a moment is missing."""
        (group,) = self.param_groups
        parameters: list[Tensor] = group["params"]
        gradients = [each.grad for each in parameters]
        given = [local(each) for each in gradients if each is not None]
        plain = not (group["amsgrad"] or group["maximize"])
        if not (plain and group["fused"] and len(given) == len(parameters)):
            self.step()
            return
        if self._of is not self.state:
            held = [self.state[each] or self.begun(each) for each in parameters]
            moments = tuple([local(each[name]) for each in held] for name in NAMES)
            self._found = ([local(each.detach()) for each in parameters], *moments)
            self._of = self.state
        weights, first, second, steps = self._found
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            weights, given, first, second, [], steps, lr=float(group["lr"]),
            beta1=group["betas"][0], beta2=group["betas"][1], eps=group["eps"],
            weight_decay=group["weight_decay"], amsgrad=False, maximize=False,
        )  # fmt: skip

    def begun(self, parameter: Tensor) -> dict[str, Tensor]:
        """Give a weight the state that torch gives it before its first step."""
        counted = torch.zeros((), dtype=torch.float32, device=parameter.device)
        zeros = [torch.zeros_like(parameter, memory_format=torch.preserve_format) for _ in "12"]
        self.state[parameter] = {"step": counted, "exp_avg": zeros[0], "exp_avg_sq": zeros[1]}
        return self.state[parameter]
