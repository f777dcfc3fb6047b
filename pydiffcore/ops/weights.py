# SPDX-License-Identifier: Apache-2.0
"""Weights whose norm of gradients, AdamW and averages are one native call each, on the CPU.

    norm      sqrt(Σ g²)
    AdamW     m ← m + (1 − beta1)(c g − m)         v ← beta2 v + (1 − beta2)(c g)²
              w ← (1 − lr lambda) w − lr/(1 − beta1^t) m/(sqrt(v)/sqrt(1 − beta2^t) + eps)
    average   a ← beta a + (1 − beta) w

in one pass over memory for the norm and one for all the rest; c bounds the norm.  Bits do not
depend on the number of threads or the instruction set.  torch does the same with an operation per
formula, and asks of each weight at each step what it is.
Source: Loshchilov & Hutter 2019 (arXiv 1711.05101), Algorithm 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from pydiffcore import _core
from pydiffcore.ops.native import target

__all__ = ["Weights", "fit"]


def fit(tensors: Sequence[Tensor]) -> bool:
    """Whether the kernels take these: dense float32 in memory of this processor."""
    return all(
        each.dtype == torch.float32
        and each.device.type == "cpu"
        and each.layout == torch.strided
        and torch.empty_like(each, device="meta").stride() == each.stride()  # without gaps
        for each in tensors
    )


class Weights:
    """Weights with all that a step changes, found once.

    Args:
        weights: n tensors.
        first, second: their moments, of the same shapes and strides.
        steps: n tensors of one number, which count the steps of each.
        averages: K lists of n tensors, or None for a weight that has no such average.

    Raises:
        ValueError: a tensor does not fit; see :func:`fit`.

    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        first: Sequence[Tensor],
        second: Sequence[Tensor],
        steps: Sequence[Tensor],
        averages: Sequence[Sequence[Tensor | None]] = (),
    ) -> None:
        target()
        self._weights = list(weights)
        self._strides = [each.stride() for each in weights]
        rows: list[Sequence[Tensor | None]] = [weights, first, second, steps, *averages]
        self._kept = [list(row) for row in rows]
        self._sizes = np.array([each.numel() for each in weights], np.int64)
        self._table = np.zeros((1 + len(self._kept), len(weights)), np.uint64)
        for row, tensors in enumerate(self._kept, 1):
            if len(tensors) != len(weights):
                raise ValueError(f"{len(tensors)} tensors for {len(weights)} weights")
            for place, tensor in enumerate(tensors):
                self._table[row, place] = self._address(tensor, place, counts=row == 4)
        self._gradients: list[Tensor] = []  # those of the table, kept alive
        self._flat = [each for row in self._kept for each in row if each is not None]
        self._places = [each.data_ptr() for each in self._flat]
        # While these are held their addresses are nobody else's, whatever becomes of the tensors.
        self._storages = [each.untyped_storage() for each in self._flat]

    def current(self) -> bool:
        """Whether all tensors still lie where they were found; if not, they must be found anew."""
        return [each.data_ptr() for each in self._flat] == self._places

    def _address(self, tensor: Tensor | None, place: int, counts: bool) -> int:
        if tensor is None:
            return 0
        like = self._weights[place]
        same = tensor.shape == like.shape
        same &= tensor.stride() == self._strides[place] or not tensor.numel()
        if not fit([tensor]) or not (tensor.numel() == 1 if counts else same):
            raise ValueError(
                f"weight {place} of shape {tuple(like.shape)} and strides {like.stride()} comes "
                f"with a {tensor.dtype} of shape {tuple(tensor.shape)} and strides "
                f"{tensor.stride()} on {tensor.device}, expected float32 alike on the CPU"
            )
        return tensor.data_ptr()

    def norm(self, gradients: Sequence[Tensor | None]) -> float:
        """Take the gradients of a step, None for a weight without; return the norm of all.

        Raises:
            ValueError: their number, a shape or a dtype differs from the weights'.
            RuntimeError: a tensor has other memory than it had.

        """
        if not self.current():
            raise RuntimeError("a weight, a moment or an average has other memory than it had")
        if len(gradients) != len(self._weights):
            raise ValueError(f"{len(gradients)} gradients for {len(self._weights)} weights")
        self._gradients, addresses = [], []
        for place, each in enumerate(gradients):
            if each is None:
                addresses.append(0)
                continue
            shape = self._weights[place].shape
            if each.dtype != torch.float32 or not each.is_cpu or each.shape != shape:
                self._address(each, place, counts=False)
            if each.stride() != self._strides[place]:
                each = _laid_out(each, self._weights[place])
            self._gradients.append(each)
            addresses.append(each.data_ptr())
        self._table[0] = addresses
        return float(_core.gradient_norm(self._sizes, self._table))

    def step(
        self,
        rate: float,
        betas: tuple[float, float],
        eps: float,
        decay: float,
        clip: float = 1.0,
        towards: Sequence[float] = (),
    ) -> None:
        """Do a step of AdamW on the gradients that :meth:`norm` was given, and move the averages.

        Args:
            rate, betas, eps, decay: lr, beta1 and beta2, eps, lambda.
            clip: what gradients are multiplied with.
            towards: beta of each average; none of them moves where it is empty.

        """
        rows = 5 + len(towards)
        if rows not in (5, len(self._table)):
            raise ValueError(f"{len(towards)} betas, expected {len(self._table) - 5}")
        numbers = (rate, *betas, eps, decay, clip)
        status = _core.adamw_step(
            self._sizes, self._table[:rows], numbers, np.array(towards, np.float64)
        )
        if status:
            raise RuntimeError(f"the native step refused its operands (status {status})")
        self._table[0] = 0
        self._gradients = []
        _noted(self._weights)
        for averages in self._kept[4 : 4 + len(towards)]:
            _noted([each for each in averages if each is not None])


def _noted(changed: list[Tensor]) -> None:
    """Tell autograd, which would otherwise go back through values that are no longer there."""
    try:
        increment_version(changed)
    except TypeError:  # older torch takes one at a time
        for each in changed:
            increment_version(each)


def _laid_out(gradient: Tensor, weight: Tensor) -> Tensor:
    return torch.empty_like(weight).copy_(gradient)
