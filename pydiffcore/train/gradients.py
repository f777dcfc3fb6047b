# SPDX-License-Identifier: Apache-2.0
"""The norm of all gradients together, and its bound.

    norm = sqrt(Σ |g|²),        g ← g min(1, limit/(norm + 1e-6))

Numbers are those of torch.nn.utils.clip_grad_norm_, which multiplies where the factor is 1 too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["clipped"]


@torch.no_grad()
def clipped(parameters: Sequence[Tensor], limit: float | None = None) -> float:
    """Scale gradients in place to a norm of at most ``limit``; return the norm they had.

    Args:
        parameters: of one device; those without a gradient are left out.
        limit: above 0; None for no bound.
    """
    gradients = [each.grad for each in parameters if each.grad is not None]
    if not gradients:
        return 0.0
    total = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    norm = float(total)
    if limit is not None and norm + 1e-6 > limit:
        torch._foreach_mul_(gradients, torch.clamp(limit / (total + 1e-6), max=1.0))
    return norm
