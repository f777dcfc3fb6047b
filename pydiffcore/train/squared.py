# SPDX-License-Identifier: Apache-2.0
"""The squared error of a batch with its gradient.

    forward    m_i = mean over the elements of (F_i − target_i)²,    L = mean of factor_i m_i
    backward   dL/dF_i = g_i · 2/n · (F_i − target_i),               g_i = dL/dm_i

On the CPU one pass of a kernel over F and the target makes the sums.  Where g_i is known
beforehand, as it is when L is minimised, the same pass makes the gradient, which is kept for the
way back; for any other g_i that is a second pass.  A sample's sum has an order that depends on n
alone, so that m_i has the same bits for any batch, number of threads and instruction set.  The way
back has a gradient of its own.  Elsewhere (CUDA, float64, inside torch.compile, gradients of
gradients) torch operations do the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pydiffcore.ops import native

__all__ = ["check", "squared_error", "weighted_loss"]

PLAIN = (Tensor, nn.Parameter)


class _SquaredError(torch.autograd.Function):
    """factor·m [B], or where ``whole`` its mean []; a factor of None is 1."""

    @staticmethod
    def forward(
        ctx: Any,
        F: Tensor,
        target: Tensor,
        factor: Tensor | None,
        whole: bool,
        each: float | None,
    ) -> Tensor:
        ctx.whole, ctx.each, ctx.gradient = whole, each, None
        ctx.save_for_backward(F, target, factor)
        if not _fits(F, target) or not (factor is None or factor.dtype == torch.float32):
            return _by_torch(F, target, factor, whole)
        F, target = F.contiguous(), target.contiguous()
        given = None if factor is None else factor.contiguous()
        if each is not None and ctx.needs_input_grad[:3] == (True, False, False):
            each = each / len(F) if whole and factor is not None else each
            m, ctx.gradient = native.squared_error_and_gradient(F, target, given, each, whole=whole)
        else:
            m = native.squared_error(F, target, given, whole=whole)
        return m if whole or given is None else m * given

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Any, None, None]:
        ready, ctx.gradient = ctx.gradient, None  # handed out once: it becomes somebody's own
        if ready is not None and not torch.is_grad_enabled() and _all_equal(grad, ctx.each):
            return ready, None, None, None, None
        F, target, factor = ctx.saved_tensors
        g, n, each = grad, F.numel() // len(F), grad
        if ctx.whole and factor is None:
            n = F.numel()
        elif factor is not None:
            each = (grad / len(F)).expand(len(F)) if ctx.whole else grad  # dL/d(factor·m)
            g = each * factor
        wanted = ctx.needs_input_grad
        of_output = of_target = of_factor = None
        if wanted[0] or wanted[1]:
            scale = 2 * (g / n)
            # The target's gradient is not to be rounded to 16 bits on its way.
            exact = wanted[1] and F.dtype != target.dtype
            step = _plain(F, target, scale) if exact else _gradient(F, target, scale)
            of_output = step.to(F.dtype) if wanted[0] else None
            of_target = -step.to(target.dtype) if wanted[1] else None
        if wanted[2]:
            of_factor = (each * squared_error(F, target)).to(factor.dtype)
        return of_output, of_target, of_factor, None, None


def squared_error(
    output: Tensor, target: Tensor, factor: Tensor | None = None, *, each: float | None = None
) -> Tensor:
    """Return factor_i times the mean of (output_i − target_i)² over the sample's elements, [B].

    Args:
        output: of the network, [B, *] with B of at least 1.
        target: of the same shape.
        factor: one number per sample, [B], which may require a gradient; 1 where None.
        each: the gradient that every entry of the result will be given, as 1/B where their mean is
            minimised: the output's is then made at once, and made again where it is another.

    Raises:
        TypeError: output or target is no tensor of floating-point numbers, or factor no tensor.
        ValueError: the shapes differ, or factor is not [B].
    """
    check(output, target, factor)
    return _of(output, target, factor, False, each)


def weighted_loss(output: Tensor, target: Tensor, factor: Tensor | None = None) -> Tensor:
    """Return the mean of factor_i (output_i − target_i)² over elements and batch, [].

    The gradient is made at once, for the mean itself, and made again for a multiple of it.

    Args:
        output, target, factor: of :func:`squared_error`.

    Raises:
        TypeError, ValueError: as :func:`squared_error`.
    """
    check(output, target, factor)
    return _of(output, target, factor, True, 1.0)


def check(output: Any, target: Any, factor: Any = None) -> None:
    """Raise TypeError or ValueError unless the arguments of :func:`squared_error` fit together."""
    for name, given in (("output", output), ("target", target)):
        if not isinstance(given, Tensor):
            raise TypeError(f"{name} is {type(given).__name__}, expected a torch.Tensor")
        if not given.dtype.is_floating_point:
            raise TypeError(f"{name} has dtype {given.dtype}, expected a floating-point dtype")
    if output.shape != target.shape or output.ndim < 1 or not len(output):
        raise ValueError(
            f"output has shape {tuple(output.shape)}, expected that of target, "
            f"{tuple(target.shape)}, with at least one sample"
        )
    if factor is not None and not isinstance(factor, Tensor):
        raise TypeError(f"factor is {type(factor).__name__}, expected a torch.Tensor or None")
    if factor is not None and factor.shape != output.shape[:1]:
        raise ValueError(
            f"factor has shape {tuple(factor.shape)}, expected ({len(output)},), one per sample"
        )


def _of(
    F: Tensor, target: Tensor, factor: Tensor | None, whole: bool, each: float | None
) -> Tensor:
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return _by_torch(F, target, factor, whole)  # compilers fuse it, both ways
    found: Tensor = _SquaredError.apply(F, target, factor, whole, each)
    return found


def _by_torch(F: Tensor, target: Tensor, factor: Tensor | None, whole: bool) -> Tensor:
    error = (F - target).square()
    if factor is None and whole:
        return error.mean()
    m = error.reshape(len(error), -1).mean(1)
    m = m if factor is None else m * factor
    return m.mean() if whole else m


def _all_equal(grad: Tensor, value: float) -> bool:
    if not grad.ndim:
        return bool(grad.item() == np.float32(value))
    return bool((grad.detach().numpy() == np.float32(value)).all())


def _fits(F: Tensor, target: Tensor) -> bool:
    """Whether the kernels take these: memory of this processor, a float32 target."""
    if type(F) not in PLAIN or type(target) not in PLAIN or not F.numel():
        return False
    known = F.dtype in native.SQUARED_DTYPES and target.dtype == torch.float32
    return known and F.device.type == "cpu" and target.device.type == "cpu"


def _gradient(F: Tensor, target: Tensor, scale: Tensor) -> Tensor:
    """Return (F − target)·scale with scale [B] or []; with a graph where one is made."""
    if torch.is_grad_enabled() or not _fits(F, target) or scale.dtype != torch.float32:
        return _plain(F, target, scale)
    return native.squared_gradient(F.contiguous(), target.contiguous(), scale.contiguous())


def _plain(F: Tensor, target: Tensor, scale: Tensor) -> Tensor:
    return (F - target) * (scale.view(-1, *(1,) * (F.ndim - 1)) if scale.ndim else scale)
