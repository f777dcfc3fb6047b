# SPDX-License-Identifier: Apache-2.0
"""A program: a table of rows bound to the tensors that it updates in place, behind all checks.

``advance`` runs one row:

    F      = u + w (c − u)                                          guided rows
    Dc     = clamp(c_skip·reg_0 + c_out·F, low, high)               clipped rows
    reg'_j = Σ_k A_jk reg_k + f_j F + d_j Dc + Σ_m S_jm scale_m z_m terms added left to right
    input' = c_in·reg'_0                                            in the network's dtype

where reg_k is the plane source[k] of the state and reg'_j goes to the plane target[j].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore import _core
from pydiffcore.ops import cuda
from pydiffcore.ops.checks import (
    array,
    bounds,
    check_counts,
    check_planes,
    check_tensor,
    overlap,
    weights,
)
from pydiffcore.ops.native import DTYPES, IO_DTYPES, STATE_DTYPES, target, unsupported

__all__ = ["Program", "bind", "first_row"]


@dataclass(frozen=True)
class Program:
    """A table of rows and the tensors they run on.

    ``advance(row, F, unconditional, noise, scale=0)`` takes addresses (0 = none; scale is that of
    factors of the draws' elements, [M, B, N]) and returns 0, 1 where F held a value that is not
    finite, 2 where an operand overlaps state or input in part (nothing was done; F may be exactly
    the input), or 3 where there is no such row.  On a CUDA device it launches one kernel on the
    current stream, waits for nothing and never returns 1: see status().

    ``advance_rows(rows, F, unconditional)`` takes the row of each part of a sample, int32 [B, T] on
    the CPU, −1 where a part stays as it is, and does the same.
    """

    advance: Callable[..., int]
    advance_rows: Callable[..., int]
    state: Tensor
    input: Tensor
    block: Tensor | None = None
    offsets: Mapping[str, int] = field(default_factory=dict)

    def _samples(self, name: str, dtype: torch.dtype) -> Tensor:
        """Return a part of the block that has one number per sample."""
        assert self.block is not None
        start, size = self.offsets[name], dtype.itemsize * self.state.shape[1]
        return self.block[start : start + size].view(dtype)

    @property
    def first_bad(self) -> Tensor:
        """[B]: 1 + the first row whose F was not finite in a sample, or 0, on the device."""
        return self._samples("first_bad", torch.int32)

    def rewrite(self, *, seeds: Any, **table: Any) -> bool:
        """Put another table of as many rows, and seeds, where captured launches read them.

        Returns False on the CPU, where nothing is captured and a table is bound anew.
        """
        if self.block is None:
            return False
        host, _ = _core.cuda_block(_operands(self.state, self.input, seeds, table))
        if len(host) != len(self.block):
            raise ValueError(
                f"the table takes {len(host)} bytes, expected {len(self.block)}: as many rows, and "
                "weights of the same shape"
            )
        cuda.write(host, self.block)
        return True

    def reseed(self, seeds: NDArray[np.uint64]) -> bool:
        """Put other seeds where captured launches read them; False on the CPU."""
        if self.block is None:
            return False
        cuda.write(seeds.view(np.int64), self._samples("seeds", torch.int64))
        return True

    def status(self) -> tuple[int, int] | None:
        """Return (row, sample) of the first F on a device that was not finite, or None.

        Waits for the device.  A row without F, such as the start, begins anew.
        """
        return None if self.block is None else first_row(self.first_bad.cpu().numpy())


def first_row(first_bad: NDArray[np.int32]) -> tuple[int, int] | None:
    """Return (row, sample) of what :attr:`Program.first_bad` holds, or None where all is 0."""
    if not first_bad.any():
        return None
    first = first_bad[first_bad > 0].min()
    return int(first) - 1, int(np.flatnonzero(first_bad == first)[0])


def bind(
    *,
    registers_in: Any,
    registers_out: Any,
    draws: Any,
    A: Any,
    f: Any,
    d: Any,
    S: Any,
    stream: Any,
    purpose: Any,
    c_skip: Any,
    c_out: Any,
    c_in: Any,
    clip: tuple[float, float] | None,
    guidance: Any,
    state: Tensor,
    input: Tensor,
    seeds: Any,
    source: Any = None,
    target: Any = None,
    channels: int = 0,
    host_loop: tuple[int, int] | None = None,
) -> Program:
    """Bind a table of R rows, K registers and M draws to the tensors of a batch.

    Args:
        registers_in: how many registers a row reads, [R].
        registers_out: how many registers a row writes, [R].
        draws: how many normals a row draws, [R].
        A: coefficients of the registers, [R, K, K].
        f: coefficients of F, [R, K].
        d: coefficients of the clipped prediction, [R, K].
        S: coefficients of the draws, [R, K, M].
        stream: of each draw, [R, M].
        purpose: of each draw, [R, M].
        c_skip: of the clipped prediction, [R]; read where ``clip`` is set.
        c_out: of the clipped prediction, [R]; read where ``clip`` is set.
        c_in: scale of the next input, [R]; 0 where the row writes none.
        clip: bounds of the clipped prediction, or None.
        guidance: w per row [R] or per row and sample [R, B], or None.
        state: registers [K, B, N], float32 or float64, contiguous.
        input: network input [B, N], float32, float64, bfloat16 or float16, contiguous.
        seeds: one uint64 per sample, [B].
        source: planes of the registers that a row reads, [R, K]; plane 0 first, none twice.  None:
            register k is plane k.
        target: planes of the registers that a row writes, likewise.
        channels: 0, or C where input and F have their channels last: element c·(N/C) + p of a
            sample lies at p·C + c.  State, noise and factors keep their order.
        host_loop: (blocks, threads) of the CUDA kernel's body, run on the CPU thread by thread
            instead of the CPU's own kernel, for tests; None for the device of ``state``.

    Raises:
        TypeError, ValueError: an argument has a wrong type, shape or value.
        RuntimeError: CUDA reports an error.

    """
    _check_memory(state, input)
    table = {
        "registers_in": registers_in, "registers_out": registers_out, "source": source,
        "target": target, "draws": draws, "A": A, "f": f, "d": d, "S": S, "stream": stream,
        "purpose": purpose, "c_skip": c_skip, "c_out": c_out, "c_in": c_in, "clip": clip,
        "guidance": guidance,
    }  # fmt: skip
    operands = _operands(state, input, seeds, table, channels)
    if state.is_cuda or host_loop:
        return _cuda_program(operands, state, input, host_loop)
    advance, advance_rows = _core.program((state, input), operands)

    def by_parts(rows: NDArray[np.int32], F: int, unconditional: int) -> int:
        return int(advance_rows(rows.ctypes.data, rows.shape[1], F, unconditional))

    return Program(advance, by_parts, state, input)


def _check_memory(state: Tensor, input: Tensor) -> None:
    check_tensor("state", state, STATE_DTYPES, 3)
    check_tensor("input", input, IO_DTYPES, 2)
    if input.shape != state.shape[1:]:
        raise ValueError(
            f"input has shape {tuple(input.shape)}, expected {tuple(state.shape[1:])} as in state"
        )
    if input.device != state.device:
        raise ValueError(f"input is on {input.device}, expected {state.device} as state")
    if overlap(state, input):
        raise ValueError("input overlaps state, expected separate memory")


def _operands(
    state: Tensor, input: Tensor, seeds: Any, given: Mapping[str, Any], channels: int = 0
) -> tuple[Any, ...]:
    """Return what the compiled module takes, checked."""
    K, B, N = state.shape
    R, M = len(np.asarray(given["registers_in"])), np.shape(given["S"])[-1]
    reason = unsupported(state.device.type, registers=K, draws=M)
    if reason:
        raise ValueError(f"state and table do not fit the kernels: {reason}")
    if channels < 0 or (channels > 1 and (N % channels or N >= 2**31)):
        raise ValueError(f"channels is {channels}, expected a divisor of {N}, which is below 2^31")
    shapes = {
        "registers_in": (R,), "registers_out": (R,), "source": (R, K), "target": (R, K),
        "draws": (R,), "A": (R, K, K), "f": (R, K),
        "d": (R, K), "S": (R, K, M), "stream": (R, M), "purpose": (R, M), "c_skip": (R,),
        "c_out": (R,), "c_in": (R,),
    }  # fmt: skip
    own = np.tile(np.arange(K), (R, 1))
    planes = {name: own for name in ("source", "target") if given.get(name) is None}
    whole = {**given, **planes}
    table = {name: array(name, whole[name], shapes[name]) for name in shapes}
    check_counts(table, K, M)
    check_planes(table, K)
    target()
    return (
        K, M, *table.values(), weights(given["guidance"], R, B), bounds(given["clip"]), B, N,
        DTYPES[state.dtype], DTYPES[input.dtype], state.data_ptr(), input.data_ptr(),
        array("seeds", seeds, (B,), np.uint64), channels,
    )  # fmt: skip


def _cuda_program(
    operands: tuple[Any, ...], state: Tensor, input: Tensor, host_loop: tuple[int, int] | None
) -> Program:
    device = state.device
    host, offsets = _core.cuda_block(operands)
    with torch.inference_mode(False):  # a tensor made under it is not written outside
        block = cuda.upload(host, device)
    guard = cuda.guard(device)
    with guard:
        launch, launch_rows = _core.cuda_program(
            (state, input, block), operands, block.data_ptr(), cuda.place(device, host_loop)
        )

    def advance(row: int, F: int, unconditional: int, noise: int, scale: int = 0) -> int:
        with guard:
            return int(launch(row, F, unconditional, noise, scale, cuda.stream(device)))

    def advance_rows(rows: NDArray[np.int32], F: int, unconditional: int) -> int:
        uploaded = cuda.upload(rows, device)
        parts = uploaded.data_ptr(), rows.shape[1]
        with guard:
            return int(launch_rows(*parts, F, unconditional, cuda.stream(device)))

    return Program(advance, advance_rows, state, input, block, offsets)
