# SPDX-License-Identifier: Apache-2.0
"""The rows of a plan in plain torch operations: any device, differentiable, easy to read.

It computes what the native kernels compute, term by term in the same order; they are checked
against it, and it serves devices that they do not know and outputs that require a gradient.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.ops.noise import INITIAL, SAMPLER, normal
from pydiffcore.ops.rows import Rows

__all__ = ["ReferenceProgram", "guided"]


def guided(c: Tensor, u: Tensor, w: NDArray[np.float64] | float, dtype: torch.dtype) -> Tensor:
    """Return u + w (c − u) in ``dtype``, w a number or one per sample."""
    weight = torch.as_tensor(w, dtype=dtype, device=c.device)
    if weight.ndim:
        weight = weight.reshape(-1, *(1,) * (c.ndim - 1))
    c, u = c.to(dtype), u.to(dtype)
    return u + weight * (c - u)


class ReferenceProgram:
    """Runs rows on a list of register tensors, a plane each, and replaces what a row writes."""

    def __init__(
        self, rows: Rows, seeds: list[int], shape: tuple[int, ...], registers: list[Tensor]
    ) -> None:
        self.rows, self.seeds, self.shape, self.registers = rows, seeds, shape, registers

    def advance(
        self, row: int, F: Tensor | None, noise: Tensor | None, scale: Tensor | None = None
    ) -> Tensor:
        """Run one row and return the next network input, in the state's dtype.

        ``F`` is the network's output in the state's dtype, guidance included, None in row 0;
        ``noise`` is the row's explicit draws [M, B, …], or None for the kernel's own noise;
        ``scale`` factors of the draws' elements, or None.
        """
        t = self.rows
        sources = t.source[row, : t.registers_in[row]].tolist()
        registers = [self.registers[plane] for plane in sources]  # the others may hold anything
        dtype, device = self.registers[0].dtype, self.registers[0].device
        z = self._draws(row, noise, dtype, device)
        z = z if scale is None else [s * draw for s, draw in zip(scale, z, strict=True)]
        D = None
        if F is not None and t.clip is not None and t.d[row].any():
            D = (float(t.c_skip[row]) * registers[0] + float(t.c_out[row]) * F).clamp(*t.clip)
        after = list(self.registers)
        for j, plane in enumerate(t.target[row, : t.registers_out[row]].tolist()):
            terms = [float(a) * r for a, r in zip(t.A[row, j], registers, strict=False)]
            terms += [float(t.f[row, j]) * F] if F is not None else []
            terms += [float(t.d[row, j]) * D] if D is not None else []
            terms += [float(s) * draw for s, draw in zip(t.S[row, j], z, strict=False)]
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            after[plane] = total
        self.registers = after
        return float(t.c_in[row]) * after[0]

    def _draws(
        self, row: int, noise: Tensor | None, dtype: torch.dtype, device: torch.device
    ) -> list[Tensor]:
        count = int(self.rows.draws[row])
        if noise is not None:
            return [*noise[:count]]
        purposes = (INITIAL, SAMPLER)
        return [
            normal(
                self.seeds,
                self.shape,
                purpose=purposes[int(self.rows.purpose[row, m])],
                stream=int(self.rows.stream[row, m]),
                device=device,
                dtype=dtype,
            )
            for m in range(count)
        ]
