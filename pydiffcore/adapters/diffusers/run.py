# SPDX-License-Identifier: Apache-2.0
"""A run: the registers of one batch, moved on one row per call of ``step``.

The state belongs to the caller: each row starts from the sample that he passes in, and returns a
new tensor.  Rows run in the native kernels, or as torch operations where a gradient is wanted, D
is handed in, or the device has no kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pydiffcore.adapters.diffusers.paused import Paused
from pydiffcore.adapters.diffusers.recipe import Recipe, plan_of
from pydiffcore.ops import native
from pydiffcore.ops.checks import OVERLAP, address
from pydiffcore.ops.program import Program, bind
from pydiffcore.ops.rows import Rows, fold
from pydiffcore.plan import Plan

__all__ = ["Run"]


class Run:
    """One batch on the rows of a recipe's plan.

    Args:
        recipe: what to run.
        sample: the caller's first state; gives shape and device.
        dtype: of the registers.
        io_dtype: of the network's output.
        seeds: one per sample where the kernels make the noise, else None.

    Its owner notes ``key`` and ``schedule``, what the recipe was made of, and ``first``, the index
    of the first row's step.

    """

    def __init__(
        self,
        recipe: Recipe,
        sample: Tensor,
        dtype: torch.dtype,
        io_dtype: torch.dtype,
        seeds: list[int] | None,
    ) -> None:
        self.recipe, self.plan = recipe, plan_of(recipe)
        self.rows = _silent(self.plan, dtype == torch.float32, recipe.cycle is not None)
        self.denoisers = _denoisers(self.plan)
        self.dtype, self.io_dtype = dtype, io_dtype
        self.shape, self.device, self.seeds = sample.shape, sample.device, seeds
        self.row = 1
        self.key: tuple[Any, ...] = ()
        self.schedule: tuple[Any, Any] = (None, None)
        self.first = 0
        self.registers: list[Tensor] | None = None  # where rows run as torch operations
        self.program: Program | None = None
        if not native.unsupported(
            self.device.type, registers=self.plan.registers, draws=self.plan.S.shape[2]
        ):
            self._bind()
        else:
            self.registers = [sample.to(dtype)] * self.plan.registers

    def _bind(self) -> None:
        B = self.shape[0] if self.shape else 1
        with torch.inference_mode(False):
            self.state = torch.empty(
                (self.plan.registers, *self.shape), dtype=self.dtype, device=self.device
            )
            self.x = self.state[0]
            unused = torch.empty((B, self.x.numel() // max(B, 1)), dtype=self.io_dtype,
                                 device=self.device)  # fmt: skip
        seeds = [0] * B if self.seeds is None else self.seeds
        self.program = bind(
            **self.rows.arguments(),
            state=self.state.view(self.plan.registers, B, -1),
            input=unused,
            seeds=np.array(seeds, np.uint64),
        )

    def again(self) -> Run:
        """Return the run at its first row, for another batch of the same kind."""
        self.row = 1
        if self.program is not None:
            self.registers = None
        return self

    def paused(self, schedule: tuple[Any, Any]) -> Paused | None:
        """Return the run as it stands, None where the schedule is not that of the run any more."""
        if self.schedule[0] is not schedule[0] or self.schedule[1] is not schedule[1]:
            return None
        planes = self.state.clone() if self.registers is None else torch.stack(self.registers)
        return Paused(
            self.recipe, planes, self.io_dtype, self.seeds, self.row, self.key, self.first
        )

    @classmethod
    def resumed(cls, paused: Paused, recipe: Recipe, schedule: tuple[Any, Any]) -> Run:
        """Return a run that goes on where another one stood."""
        planes = paused.planes
        run = cls(recipe, planes[0], planes.dtype, paused.io_dtype, paused.seeds)
        if run.program is None or planes.requires_grad:
            run.registers = list(planes.clone().unbind())
        else:
            run.state.copy_(planes)
        run.row, run.key, run.first, run.schedule = paused.row, paused.key, paused.first, schedule
        return run

    def fits(self, sample: Tensor, dtype: torch.dtype, io_dtype: torch.dtype) -> bool:
        """Whether the registers are those of such a batch."""
        return (
            sample.shape == self.shape
            and sample.device == self.device
            and dtype is self.dtype
            and io_dtype is self.io_dtype
        )

    def step(self, sample: Tensor, F: Tensor, z: Tensor | None, D: Tensor | None = None) -> Tensor:
        """Run the next row and return register 0, which the next row overwrites.

        Args:
            sample: the state, copied in: edits through NumPy or ``.data`` are not counted by torch.
            F: the network's output, of the state's shape or one that expands to it.
            z: the row's unit normals [draws, B, ...], or None.
            D: the denoised prediction, where it is not c_skip·X + c_out·F within the clip.

        Raises:
            ValueError: an output or noise of another shape or on another device.

        """
        F = self._fitting(F, "model_output", self.shape)
        z = z if z is None else self._fitting(z, "noise", (len(z), *self.shape))
        grad = torch.is_grad_enabled() and any(
            t is not None and t.requires_grad for t in (sample, F, z, D)
        )
        if self.registers is None and (grad or D is not None):
            self.registers = [self.state[k].clone() for k in range(self.plan.registers)]
        row = self.row
        self.row = self.recipe.after(row)
        if self.registers is not None:
            return self._torch_row(row, sample, F, z, D)
        self.x.copy_(sample)
        F, z = F.contiguous(), z if z is None else z.contiguous()
        assert self.program is not None
        noise = address(z)
        if self.program.advance(row, F.data_ptr(), 0, noise) == OVERLAP:
            self.program.advance(row, F.clone().data_ptr(), 0, noise)
        return self.x

    def _fitting(self, x: Tensor, name: str, shape: Sequence[int]) -> Tensor:
        """Return x in a shape, which the kernels read without a look at it."""
        if x.device != self.device:
            raise ValueError(f"{name} is on {x.device}, expected {self.device} as the sample")
        if x.shape == torch.Size(shape):
            return x
        try:
            return x.expand(*shape)
        except RuntimeError:
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}, expected that of the sample, {tuple(shape)}"
            ) from None

    def _torch_row(
        self, row: int, sample: Tensor, F: Tensor, z: Tensor | None, D: Tensor | None
    ) -> Tensor:
        assert self.registers is not None
        t, dtype = self.rows, self.dtype
        x = sample.to(dtype)
        planes = [x, *self.registers[1:]]
        registers = [planes[plane] for plane in t.source[row, : t.registers_in[row]].tolist()]
        F = F.to(dtype)
        if D is None and t.clip is not None and t.d[row].any():
            D = (float(t.c_skip[row]) * x + float(t.c_out[row]) * F).clamp(*t.clip)
        draws = [] if z is None else [*z.to(dtype)]
        for j, plane in enumerate(t.target[row, : t.registers_out[row]].tolist()):
            terms = [*zip(t.A[row, j].tolist(), registers, strict=False), (float(t.f[row, j]), F)]
            terms += [(float(t.d[row, j]), D)] if D is not None else []
            terms += zip(t.S[row, j].tolist(), draws, strict=False)
            total = None
            for a, tensor in terms:
                if a != 0.0:
                    total = a * tensor if total is None else total + a * tensor
            planes[plane] = torch.zeros_like(x) if total is None else total
        self.registers = planes
        return planes[0]

    def row_of(self, index: int) -> int:
        """Return the row of a step, that of this loop where rows are run over and over."""
        row = index - self.first + 1
        if self.recipe.cycle is None:
            return row
        first, last = self.recipe.cycle
        return self.row if (self.row - row) % (last - first + 1) == 0 else row

    @property
    def state_only(self) -> bool:
        """Whether the next row reads nothing but the caller's state."""
        return int(self.plan.registers_in[self.row]) == 1

    def draws(self, row: int) -> int:
        """Number of unit normals that a row adds."""
        return int(self.rows.draws[row])

    def denoised(self, sample: Tensor, F: Tensor, call: int, *, clip: bool = True) -> Tensor:
        """D = c_skip·X + c_out·F of a call, in the registers' dtype."""
        c_skip, c_out = self.denoisers[call]
        x, F = sample.to(self.dtype), F.to(self.dtype)
        if c_skip == 0.0:
            D = c_out * F
        else:
            D = torch.add(x if c_skip == 1.0 else c_skip * x, F, alpha=c_out)
        return D.clamp_(*self.rows.clip) if clip and self.rows.clip is not None else D


@lru_cache(maxsize=128)
def _denoisers(plan: Plan) -> list[tuple[float, float]]:
    """Return c_skip, of the caller's state, and c_out of each call."""
    return list(zip((plan.c_skip / plan.scale[:-1]).tolist(), plan.c_out.tolist(), strict=True))


@lru_cache(maxsize=128)
def _silent(plan: Plan, single: bool, cycle: bool) -> Rows:
    """Return the plan's rows, which write no next input: the caller has his own.

    Where rows are run over and over a register must be in the same plane each time.
    """
    rows = fold(plan, unit_noise=False, single=single, copies=cycle)
    return replace(rows, c_in=np.zeros_like(rows.c_in))
