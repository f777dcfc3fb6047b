# SPDX-License-Identifier: Apache-2.0
"""A drawing shared out among the processes that torchrun started.

Whole batches are shared out, so that every network call is one that a single process would make.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from pydiffcore.cli.draw import Drawing
    from pydiffcore.cli.source import Source
    from pydiffcore.plan import Plan
    from pydiffcore.train.ranks import Ranks

__all__ = ["draw_shared", "places"]


def places(samples: int, batch: int, rank: int, count: int) -> list[int]:
    """Return the samples of one rank: every ``count``-th batch, from its own rank on."""
    starts = range(rank * batch, samples, count * batch)
    return [place for start in starts for place in range(start, min(start + batch, samples))]


def draw_shared(
    drawing: Drawing,
    plan: Plan,
    source: Source,
    progress: bool | Callable[[int, int], None],
    ranks: Ranks,
) -> Tensor | None:
    """Draw a drawing's samples, [N, *shape]; on all ranks but the first return None."""
    import torch
    from torch import distributed

    from pydiffcore.cli.draw import draw

    shares = [
        places(len(drawing.seeds), drawing.batch, rank, ranks.count) for rank in range(ranks.count)
    ]
    own = shares[ranks.rank]
    drawn = None
    if own:
        part = replace(drawing, device=str(ranks.device), **_of(drawing, own))
        drawn = draw(part, plan, source, progress and ranks.first)
    parts: list[Any] | None = [None] * ranks.count if ranks.first else None
    distributed.gather_object(drawn, parts)
    if parts is None:
        return None
    whole = torch.empty(len(drawing.seeds), *drawing.shape, dtype=getattr(torch, drawing.dtype))
    for share, samples in zip(shares, parts, strict=True):
        if share:
            whole[share] = samples
    return whole


def _of(drawing: Drawing, chosen: list[int]) -> dict[str, Any]:
    """Return what belongs to these samples alone."""
    classes = drawing.classes
    return {
        "seeds": tuple(drawing.seeds[place] for place in chosen),
        "classes": None if classes is None else tuple(classes[place] for place in chosen),
    }
