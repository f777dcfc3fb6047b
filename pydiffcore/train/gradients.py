# SPDX-License-Identifier: Apache-2.0
"""The norm of all gradients together, and its bound.

    norm = sqrt(Σ |g|²),        g ← g min(1, limit/(norm + 1e-6))

Of gradients that are sharded |g|² is summed over the ranks.

Numbers are those of torch.nn.utils.clip_grad_norm_, which multiplies where the factor is 1 too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pydiffcore.train.ranks import Ranks
from pydiffcore.train.shard import local

__all__ = ["clipped"]


@torch.no_grad()
def clipped(
    parameters: Sequence[Tensor], limit: float | None = None, ranks: Ranks | None = None
) -> float:
    """Scale gradients in place to a norm of at most ``limit``; return the norm they had.

    Args:
        parameters: of one device; those without a gradient are left out.
        limit: above 0; None for no bound.
        ranks: over which gradients may be sharded; the same norm comes out on each.
    """
    given = [each.grad for each in parameters if each.grad is not None]
    if not given:
        return 0.0
    gradients = [local(each) for each in given]
    norms = torch.stack(torch._foreach_norm(gradients))
    parts = [ours is not whole for ours, whole in zip(gradients, given, strict=True)]
    total = torch.linalg.vector_norm(norms)
    if ranks is not None and any(parts):
        total = _over(ranks, norms, torch.tensor(parts, device=norms.device))
    norm = float(total)
    if limit is not None and norm + 1e-6 > limit:
        torch._foreach_mul_(gradients, torch.clamp(limit / (total + 1e-6), max=1.0))
    return norm


def _over(ranks: Ranks, norms: Tensor, parts: Tensor) -> Tensor:
    """Return the norm of gradients of which some are parts, the others the same on each rank."""
    squares = norms.double() ** 2
    total = ranks.mean(squares[parts].sum()) * ranks.count + squares[~parts].sum()
    return total.sqrt().to(norms.dtype)
