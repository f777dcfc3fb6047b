# SPDX-License-Identifier: Apache-2.0
"""The runner: carries the registers of one batch through the rows of a plan.

    input = runner.start()
    for c_noise in plan.c_noise:
        input = runner.advance(network(input, c_noise))
    # input is now the result

Between two network calls it launches one kernel: float32 or float64 registers are updated in
place, and the same pass writes the next network input in the network's dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.ops import native
from pydiffcore.ops.checks import (
    NO_SUCH_ROW,
    NOT_FINITE,
    OVERLAP,
    address,
    all_finite,
    checked_guidance,
    choose,
    first_bad,
    not_finite,
    not_started,
    operand,
    outputs,
    refusal,
    sizes,
    unchanged,
)
from pydiffcore.ops.draws import Draws
from pydiffcore.ops.formats import channels_of, flat
from pydiffcore.ops.noise import INITIAL, checked_seeds, normal
from pydiffcore.ops.program import Program, bind
from pydiffcore.ops.reference import ReferenceProgram, guided
from pydiffcore.ops.rows import fold, row_draws
from pydiffcore.ops.staggered import Parts, advance_rows
from pydiffcore.ops.verdict import verdict
from pydiffcore.plan import Plan

__all__ = ["Runner"]


class Runner:
    """The registers of one batch and the rows that move them on.

    Args:
        plan: the plan to run.
        shape: shape of one sample, without the batch axis.
        seeds: one seed per sample, integers in [0, 2^64); the batch size B is their number.
        dtype: of the registers, float32 or float64.
        io_dtype: of network input and output; the registers' own where None.
        device: where the registers live.
        guidance: weights w of ``u + w(c − u)``, [n] or [n, B] for n network calls, or None.
        noise: None for the kernel's own noise; a tensor [plan.draws, B, *shape] with one unit
            normal per stream; a ``torch.Generator``; or a function of (sigma, sigma_next), the
            levels of the step, that returns unit normals [B, *shape].
        backend: "native", "reference" (torch operations), or "auto": native where it can.
        memory_format: of network input and output: torch.contiguous_format, channels_last or
            channels_last_3d.  An output in another one is copied.

    Raises:
        TypeError, ValueError: an argument has a wrong type, shape or value.

    """

    def __init__(
        self,
        plan: Plan,
        shape: Sequence[int],
        seeds: Any,
        *,
        dtype: torch.dtype = torch.float32,
        io_dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
        guidance: NDArray[np.float64] | None = None,
        noise: Tensor | torch.Generator | Callable[..., Tensor] | None = None,
        backend: str = "auto",
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.plan, self.seeds = plan, checked_seeds(seeds)
        if not self.seeds:
            raise ValueError("seeds is empty, expected one seed per sample")
        self.dtype, self.io_dtype = dtype, dtype if io_dtype is None else io_dtype
        choose("dtype", dtype, native.STATE_DTYPES)
        choose("io_dtype", self.io_dtype, native.IO_DTYPES)
        self.shape = torch.Size((len(self.seeds), *sizes(shape)))
        self.memory_format = memory_format
        self._channels = channels_of(memory_format, self.shape)
        self.device = torch.device(device)
        self.guidance = checked_guidance(guidance, plan.nfe, len(self.seeds))
        self.native = native.picked(backend, self.device.type, plan.registers, row_draws(plan))
        self._plain = False  # a native run with the kernel's own noise: nothing to prepare
        self._unit_noise: bool | None = None
        self._row, self._last, self._version = plan.nfe + 1, plan.nfe, 0
        self._advance: Callable[..., int] = not_started
        self._reference: ReferenceProgram | None = None
        self._parts: Parts | None = None
        self._make_buffers()
        self._draws = Draws(plan, self.shape, self.device, dtype, noise)
        self._program: Program | None = None

    def _make_buffers(self) -> None:
        """Make registers and input; the input is register 0 itself where a row would copy it."""
        order = self.memory_format
        shares = self.native and self.io_dtype == self.dtype and not self._channels
        self._shares_input = shares and self.plan.unscaled_input
        with torch.inference_mode(False):  # tensors made under it do not count their changes
            state = torch.empty(
                (self.plan.registers, *self.shape), dtype=self.dtype, device=self.device
            )
            self._written = torch.empty_like(state[0], dtype=self.io_dtype, memory_format=order)
        self._state, self._input = state, state[0] if self._shares_input else self._written
        self.result, self.device = state[0], state.device  # with its index

    def start(self, x: Tensor | None = None) -> Tensor:
        """Run row 0 and return the first network input.

        Args:
            x: initial state [B, *shape] in the plan's frame, of deviation
                ``plan.init_scale``; None draws it from the seeds.

        """
        x = self.load(x)
        if self.native and (x is None or not x.requires_grad):
            return self.begin()
        self._row, self._reference, self._plain = 0, self._make_reference(x), False
        return self._advance_reference(None, None, None)

    def load(self, x: Tensor | None = None, check: bool = True) -> Tensor | None:
        """Put the initial state where row 0 reads it, and return it; None is drawn by the row.

        ``check`` waits for it and refuses a value that is not finite.
        """
        if x is None and self._draws.noise is not None:
            x = self.plan.init_scale * normal(
                self.seeds, self.shape[1:], purpose=INITIAL, stream=0,
                device=self.device, dtype=self.dtype,
            )  # fmt: skip
        self._prepare(unit_noise=x is None)
        self._reference = None
        if x is not None:
            x = operand(x, "x", self.shape, self.device)
            if check and not all_finite(x):
                raise ValueError("x holds a value that is not finite")
            if self.native and not x.requires_grad:
                self.result.copy_(x)
        return x

    def begin(self) -> Tensor:
        """Run row 0 on what was loaded, natively; launches, and does not look at a value."""
        noise, _ = self._noise_row(0)  # kept until the row has read it
        self._report(self._advance(0, 0, 0, address(noise)), None)
        self._row, self._version = 1, self._state._version
        self._plain = self._draws.in_kernel and not self._channels
        return self._input

    def advance(
        self, F: Tensor, F_uncond: Tensor | None = None, variance: Tensor | None = None
    ) -> Tensor:
        """Run the next row on the network's output and return the next network input.

        After the last row it returns the result, [B, *shape] in the plan's frame.

        Args:
            F: network output [B, *shape] of ``io_dtype``; under guidance the conditional one.
            F_uncond: unconditional output, or None where this row is not guided.
            variance: v [B, *shape] of the same call, where the plan's noise has a learned
                deviation; unused elsewhere.

        Raises:
            TypeError, ValueError: an output of the wrong dtype, device or shape.
            FloatingPointError: an output that is not finite, with the first such sample.
            RuntimeError: the plan has no row left, or ``start`` was not called.
        """
        row = self._row
        if (
            F_uncond is None
            and type(F) is Tensor
            and F.dtype is self.io_dtype
            and F.shape == self.shape
            and F.is_contiguous()
            and not F.requires_grad
            and F.device == self.device
            and self._plain
            and (not self._shares_input or self._state._version == self._version)
        ):
            status = self._advance(row, F.data_ptr(), 0, 0)
            if status == 0:
                self._row = row + 1
                return self._input if row < self._last else self.result
        return self._advance_checked(F, F_uncond, variance)

    def _advance_checked(
        self, F: Tensor, F_uncond: Tensor | None, variance: Tensor | None
    ) -> Tensor:
        """The same for guidance, explicit noise, strided outputs, gradients and errors."""
        if not 1 <= self._row <= self.plan.nfe:
            self._report(NO_SUCH_ROW, None)
        if self._shares_input and self._reference is None:
            unchanged(self._state, self._version)
        at = self.shape, self.device, self.io_dtype, self.memory_format
        F, F_uncond = outputs(F, F_uncond, self.guidance is not None, *at)
        if variance is not None:
            variance = operand(variance, "variance, the network's v,", *at[:3])
        grad = any(y is not None and y.requires_grad for y in (F, F_uncond, variance))
        if self._reference is None and (grad or not self.native):
            self._reference, self._plain = self._make_reference(None), False
        if self._reference is not None:
            return self._advance_reference(F, F_uncond, variance)
        noise, scale = self._noise_row(self._row, variance)
        draws = address(noise), address(scale)
        status = self._advance(self._row, F.data_ptr(), address(F_uncond), *draws)
        if status == OVERLAP:
            F, F_uncond = F.clone(), None if F_uncond is None else F_uncond.clone()
            status = self._advance(self._row, F.data_ptr(), address(F_uncond), *draws)
        if status:
            self._report(status, self.combined(F, F_uncond, self._row))
        self._row += 1
        return self._input if self._row <= self.plan.nfe else self.result

    def advance_rows(self, F: Tensor, rows: Any, F_uncond: Tensor | None = None) -> Tensor:
        """Run a row of its own for each sample, [B], or each of T parts of its first axis, [B, T].

        ``rows`` are integers on the host, −1 where a part waits: see :mod:`.staggered`.
        """
        return advance_rows(self, F, rows, F_uncond)

    def combined(self, F: Tensor, F_uncond: Tensor | None, row: int) -> Tensor:
        """Return what a row computes with: guided, in the registers' dtype."""
        if F_uncond is None or self.guidance is None:
            return F.to(self.dtype)
        return guided(F, F_uncond, self.guidance[row - 1], self.dtype)

    def check(self) -> None:
        """Raise where the run met a value that is not finite; on a CUDA device wait for it.

        ``advance`` raises on the CPU where an output is not finite, and does not wait on a
        device; a state that overflowed shows in the result.
        """
        bad, finite = verdict(self._program, self.query)
        if bad is not None:
            raise not_finite(self.plan.sigma, bad[0] - 1, bad[1], self.seeds)
        if not finite:
            raise FloatingPointError("the result is not finite: the plan's steps diverged")

    @property
    def query(self) -> Tensor:
        """The state at which the network is evaluated now, [B, *shape], in the plan's frame.

        A view of the registers where they are native: the next row overwrites it.
        """
        return self._state[0] if self._reference is None else self._reference.registers[0]

    def _prepare(self, *, unit_noise: bool) -> None:
        if self._unit_noise is not unit_noise:
            self._unit_noise = unit_noise
            self._bind(unit_noise)

    def _bind(self, unit_noise: bool) -> None:
        """Bind the rows to the tensors; on a device in the memory that launches already read."""
        single = self.dtype == torch.float32
        self._rows = fold(self.plan, unit_noise=unit_noise, guidance=self.guidance, single=single)
        if not self.native:
            return
        arguments = {**self._rows.arguments(), "seeds": np.array(self.seeds, np.uint64)}
        arguments["c_in"] = self._rows.c_in * (not self._shares_input)  # 0: rows write no input
        if self._program is None or not self._program.rewrite(**arguments):
            self._program = bind(
                **arguments,
                state=self._state.view(self._state.shape[0], len(self.seeds), -1),
                input=flat(self._written),
                channels=self._channels,
            )
            self._advance = self._program.advance

    def _make_reference(self, x: Tensor | None) -> ReferenceProgram:
        first = [x.to(self.dtype)] if x is not None else []
        rest = [self._state[k].clone() for k in range(len(first), self.plan.registers)]
        seeds, shape = self.seeds, tuple(self.shape[1:])
        return ReferenceProgram(self._rows, seeds, shape, first + rest)

    def _advance_reference(
        self, F: Tensor | None, F_uncond: Tensor | None, variance: Tensor | None
    ) -> Tensor:
        assert self._reference is not None
        if F is not None:
            F = self.combined(F, F_uncond, self._row).contiguous()
            if not all_finite(F):
                self._report(NOT_FINITE, F)
        following = self._reference.advance(self._row, F, *self._noise_row(self._row, variance))
        self._row += 1
        if self._row > self.plan.nfe:
            return self._reference.registers[0]
        return following.to(self.io_dtype).contiguous(memory_format=self.memory_format)

    def _noise_row(
        self, row: int, variance: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return a row's draws, None where its kernel draws them, and their factors or None."""
        if self._draws.in_kernel or (row == 0 and self._unit_noise):  # which draws the state itself
            return None, None
        streams = self._rows.stream[row, : self._rows.draws[row]].tolist()
        return self._draws.unit(streams), self._draws.scale(streams, variance)

    def _report(self, status: int, F: Tensor | None) -> None:
        if status == NOT_FINITE and F is not None:
            raise not_finite(self.plan.sigma, self._row - 1, first_bad(F), self.seeds)
        if status:
            raise refusal(status, self._row, self.plan.nfe)
