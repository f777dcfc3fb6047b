# SPDX-License-Identifier: Apache-2.0
"""The squared error of a batch with its gradient.

    forward    m_i = mean over the elements of (F_i − target_i)²
    backward   dL/dF_i = g_i · 2/n · (F_i − target_i),    g_i = dL/dm_i

Autograd alone would keep the difference and go over the data three times on the way back: for the
mean, the square and its factor.  Here the way back is one difference and one product with a number
per sample, of nothing but F and the target, so that it has a gradient of its own too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["squared_error", "weighted_loss"]


class _SquaredError(torch.autograd.Function):
    """Mean square of output − target, per sample [B] or of the whole batch []."""

    @staticmethod
    def forward(output: Tensor, target: Tensor, whole: bool) -> Tensor:
        error = (output - target).square()
        return error.mean() if whole else error.reshape(len(error), -1).mean(1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, bool], output: Tensor) -> None:
        F, target, ctx.whole = inputs
        ctx.save_for_backward(F, target)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        F, target = ctx.saved_tensors
        size = F.numel() if ctx.whole else F[0].numel()
        scale = 2 * (grad / size)
        if not ctx.whole:
            scale = scale.view(-1, *(1,) * (F.ndim - 1))
        step = (F - target) * scale
        wanted = ctx.needs_input_grad
        return (
            step.to(F.dtype) if wanted[0] else None,
            -step.to(target.dtype) if wanted[1] else None,
            None,
        )


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of (output − target)² over the elements of each sample, [B].

    Args:
        output: of the network, [B, *] with B of at least 1.
        target: of the same shape.

    Raises:
        ValueError: the shapes differ.
    """
    _check(output, target)
    return _SquaredError.apply(output, target, False)


def weighted_loss(output: Tensor, target: Tensor, factor: Tensor | None = None) -> Tensor:
    """Return the mean of factor_i (output_i − target_i)² over elements and batch, [].

    Args:
        output: of the network, [B, *] with B of at least 1.
        target: of the same shape.
        factor: one number per sample, [B], which may require a gradient; 1 where None.

    Raises:
        ValueError: the shapes differ, or factor is not [B].
    """
    _check(output, target)
    if factor is None:
        return _SquaredError.apply(output, target, True)
    if factor.shape != output.shape[:1]:
        raise ValueError(
            f"factor has shape {tuple(factor.shape)}, expected ({len(output)},), one per sample"
        )
    return (_SquaredError.apply(output, target, False) * factor).mean()


def _check(output: Tensor, target: Tensor) -> None:
    if output.shape != target.shape or output.ndim < 1 or not len(output):
        raise ValueError(
            f"output has shape {tuple(output.shape)}, expected that of target, "
            f"{tuple(target.shape)}, with at least one sample"
        )
