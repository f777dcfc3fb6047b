# SPDX-License-Identifier: Apache-2.0
"""What is done with the gradients of a step: their norm and its bound, AdamW, the averages.

On the CPU these are two native calls; on other devices, for weights in parts on all ranks, for
dtypes but float32 and under a scaler they are torch's operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from pydiffcore.ops.weights import Weights, fit
from pydiffcore.train.adamw import NAMES, AdamW
from pydiffcore.train.average import Pairs
from pydiffcore.train.gradients import clipped
from pydiffcore.train.ranks import Ranks

__all__ = ["Update"]


class Update:
    """Weights, their optimiser and their averages, which one step moves together.

    Args:
        parameters: all that learn, those of the optimiser's one group.
        optimiser: holds rate, betas and moments, which ``load_state_dict`` alone replaces.
        pairs: averages with the weights they are of.
        modules: whose ``normalise_weights``, where they have it, is called after the optimiser.
        ranks: this process among all.
        scaler: of float16's losses, which may be disabled.

    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        optimiser: AdamW,
        pairs: Mapping[str, Pairs],
        modules: Sequence[nn.Module | None],
        ranks: Ranks,
        scaler: torch.amp.GradScaler,
    ) -> None:
        self._parameters, self._optimiser, self._pairs = list(parameters), optimiser, dict(pairs)
        self._ranks, self._scaler = ranks, scaler
        found = (getattr(each, "normalise_weights", None) for each in modules)
        self._keeps: list[Callable[[], None]] = [each for each in found if each is not None]
        self._rest = {name: self._frozen(each) for name, each in self._pairs.items()}
        self._weights: Weights | None = None
        self._of: object = None  # the state that _weights was made of
        self._clip = 1.0

    def norm(self, limit: float | None) -> float:
        """Return the norm of all gradients, to be bounded by ``limit`` in the step that follows."""
        self._find()
        if self._weights is None:
            if self._scaler.is_enabled():
                self._scaler.unscale_(self._optimiser)
            return clipped(self._parameters, limit, self._ranks)
        norm = self._weights.norm([each.grad for each in self._parameters])
        # A factor of torch's clip_grad_norm_, which multiplies where it is 1 too.
        self._clip = 1.0 if limit is None else min(1.0, limit / (norm + 1e-6))
        return norm

    def step(self, betas: Mapping[str, float]) -> None:
        """Move the weights, keep their magnitudes where a network does, and move the averages.

        Args:
            betas: of each average, by its name.

        """
        if self._weights is not None:
            (group,) = self._optimiser.param_groups
            self._weights.step(
                group["lr"], group["betas"], group["eps"], group["weight_decay"], self._clip,
                () if self._keeps else [betas[name] for name in self._pairs],
            )  # fmt: skip
        elif self._scaler.is_enabled():
            self._scaler.step(self._optimiser)
        else:
            self._optimiser.step_at_once()
        for keep in self._keeps:
            keep()
        for name, pairs in self._pairs.items():
            torchs = self._weights is None or self._keeps
            (pairs if torchs else self._rest[name]).move(betas[name])

    def _find(self) -> None:
        """Find the tensors anew where the optimiser's state was loaded or memory was replaced."""
        known = self._weights is None or self._weights.current()
        if self._of is not self._optimiser.state or not known:
            self._weights = self._found()
            self._of = self._optimiser.state

    def _frozen(self, pairs: Pairs) -> Pairs:
        """Return the averages of weights that do not learn, and the buffers."""
        learned = {id(each) for each in self._parameters}
        rest = [(a, w) for a, w in zip(pairs.into, pairs.of, strict=True) if id(w) not in learned]
        return Pairs([a for a, _ in rest], [w for _, w in rest], pairs.buffers)

    def _found(self) -> Weights | None:
        (group,) = self._optimiser.param_groups
        plain = not (group["amsgrad"] or group["maximize"] or self._scaler.is_enabled())
        parts = any(hasattr(each, "to_local") for each in self._parameters)
        averages = [self._averages_of(pairs) for pairs in self._pairs.values()]
        pairs = [(a, w) for row in averages for a, w in zip(row, self._parameters, strict=True)
                 if a is not None]  # fmt: skip
        alike = all(average.stride() == weight.stride() for average, weight in pairs)
        if not (plain and alike) or parts:
            return None
        if not fit([*self._parameters, *(average for average, _ in pairs)]):
            return None
        first, second, steps = zip(*map(self._moments, self._parameters), strict=True)
        return Weights(self._parameters, first, second, steps, averages)

    def _averages_of(self, pairs: Pairs) -> list[torch.Tensor | None]:
        of = {id(weight): average for average, weight in zip(pairs.into, pairs.of, strict=True)}
        return [of.get(id(each)) for each in self._parameters]

    def _moments(self, parameter: nn.Parameter) -> tuple[torch.Tensor, ...]:
        """Return a weight's moments and count of steps, laid out as the weight is."""
        state = self._optimiser.state[parameter] or self._optimiser.begun(parameter)
        for name in NAMES[:2]:
            if state[name].stride() != parameter.stride():
                state[name] = torch.empty_like(parameter.detach()).copy_(state[name])
        return tuple(state[name] for name in NAMES)
