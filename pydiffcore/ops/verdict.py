# SPDX-License-Identifier: Apache-2.0
"""What a finished run met: the first output that was not finite, and whether its result is."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pydiffcore.ops import cuda
from pydiffcore.ops.program import Program, first_row

__all__ = ["Verdict", "verdict"]


class Verdict(NamedTuple):
    """(row, sample) of the first output that was not finite, or None; whether the result is."""

    bad: tuple[int, int] | None
    finite: bool


def verdict(program: Program | None, result: Tensor) -> Verdict:
    """Judge a run; on a CUDA device it waits once, and once more where the result is not finite.

    Args:
        program: that ran it, or None where torch operations did.
        result: the state at its end.

    """
    flags = [] if program is None or program.block is None else [program.first_bad]
    *rows, total = cuda.fetch(*flags, result.detach().sum())  # finite where, as mostly, all is
    finite = math.isfinite(total.item()) or bool(torch.isfinite(result).all())
    return Verdict(first_row(rows[0].numpy()) if rows else None, finite)
