# SPDX-License-Identifier: Apache-2.0
"""The native kernels: the one file that knows the compiled module, and all checks in front of it.

A program is a table of rows bound to the tensors it updates in place; ``advance`` runs one row:

    F      = u + w (c − u)                                          guided rows
    Dc     = clamp(c_skip·reg_0 + c_out·F, low, high)               clipped rows
    reg'_j = Σ_k A_jk reg_k + f_j F + d_j Dc + Σ_m S_jm scale_m z_m terms added left to right
    input' = c_in·reg'_0                                            in the network's dtype
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch  # before the compiled module: both then share the OpenMP runtime torch brings
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore import _core
from pydiffcore.ops import cuda
from pydiffcore.ops.checks import array, bounds, check_counts, check_tensor, overlap, weights

__all__ = ["Program", "corrupt", "info", "normal", "program", "target", "unsupported"]

MAX_REGISTERS = 8
MAX_DRAWS = 8

DTYPES = {
    torch.float32: 0,
    torch.float64: 1,
    torch.bfloat16: 2,
    torch.float16: 3,
    torch.uint8: 4,
}
STATE_DTYPES = (torch.float32, torch.float64)
IO_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Program:
    """A table of rows and the tensors they run on.

    ``advance(row, F, unconditional, noise, scale=0)`` takes addresses (0 = none; scale is that of
    factors of the draws' elements, [M, B, N]) and returns 0, 1 where F held a value that is not
    finite, 2 where an operand overlaps state or input in part (nothing was done; F may be exactly
    the input), or 3 where there is no such row.  On a CUDA device it launches one kernel on the
    current stream, waits for nothing and never returns 1: see status().
    """

    advance: Callable[..., int]
    state: Tensor
    input: Tensor
    block: Tensor | None = None
    first_bad: Tensor | None = None

    def status(self) -> tuple[int, int] | None:
        """Return (row, sample) of the first F on a device that was not finite, or None.

        Waits for the device.  A row without F, such as the start, begins anew.
        """
        rows = np.zeros(0) if self.first_bad is None else self.first_bad.cpu().numpy()
        if not rows.any():
            return None
        first = rows[rows > 0].min()
        return int(first) - 1, int(np.flatnonzero(rows == first)[0])


def target() -> str:
    """Return the instruction set in use: the best of this machine, or PYDIFFCORE_TARGET's.

    Raises:
        RuntimeError: PYDIFFCORE_TARGET names a target that is unknown or cannot run here.

    """
    name = _core.target()
    if name is None:
        raise RuntimeError(
            "PYDIFFCORE_TARGET names an instruction set that cannot run on this machine; "
            f"compiled in are: {_core.targets()}"
        )
    return str(name)


def info() -> dict[str, Any]:
    """Return what the native core is: version, targets, threads, OpenMP runtime, CUDA, library."""
    return {
        "version": _core.version(),
        "target": target(),
        "targets": _core.targets().split(),
        "threads": _core.threads(),
        "openmp": _core.openmp_library(),
        "cuda": _core.cuda_architectures().split(),
        "cuda_devices": _core.cuda_devices(),
        "cuda_reason": unsupported("cuda"),
        "library": str(Path(_core.__file__).parent / "libpydiffcore.so"),
    }


def unsupported(device_type: str, *, registers: int = 1, draws: int = 0) -> str:
    """Return why the kernels cannot run a plan on a device, or "" where they can."""
    if device_type not in ("cpu", "cuda"):
        return f"there is no native kernel for device {device_type!r}"
    if device_type == "cuda" and _core.cuda_devices() == 0:
        return str(_core.cuda_error())
    if registers > MAX_REGISTERS:
        return f"the plan has {registers} registers, the kernels take at most {MAX_REGISTERS}"
    if draws > MAX_DRAWS:
        return f"a row has {draws} draws, the kernels take at most {MAX_DRAWS}"
    return ""


def program(
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
        host_loop: (blocks, threads) of the CUDA kernel's body, run on the CPU thread by thread
            instead of the CPU's own kernel, for tests; None for the device of ``state``.

    Raises:
        TypeError, ValueError: an argument has a wrong type, shape or value.
        RuntimeError: CUDA reports an error.

    """
    check_tensor("state", state, STATE_DTYPES, 3)
    check_tensor("input", input, IO_DTYPES, 2)
    K, B, N = state.shape
    R, M = len(np.asarray(registers_in)), np.shape(S)[-1]
    reason = unsupported(state.device.type, registers=K, draws=M)
    if reason:
        raise ValueError(f"state and table do not fit the kernels: {reason}")
    if input.shape != (B, N):
        raise ValueError(f"input has shape {tuple(input.shape)}, expected {(B, N)} as in state")
    if input.device != state.device:
        raise ValueError(f"input is on {input.device}, expected {state.device} as state")
    if overlap(state, input):
        raise ValueError("input overlaps state, expected separate memory")
    shapes = {
        "registers_in": (R,), "registers_out": (R,), "draws": (R,), "A": (R, K, K), "f": (R, K),
        "d": (R, K), "S": (R, K, M), "stream": (R, M), "purpose": (R, M), "c_skip": (R,),
        "c_out": (R,), "c_in": (R,),
    }  # fmt: skip
    given = {
        "registers_in": registers_in, "registers_out": registers_out, "draws": draws, "A": A,
        "f": f, "d": d, "S": S, "stream": stream, "purpose": purpose, "c_skip": c_skip,
        "c_out": c_out, "c_in": c_in,
    }  # fmt: skip
    table = {name: array(name, given[name], shapes[name]) for name in shapes}
    check_counts(table, K, M)
    target()
    operands = (
        K, M, *table.values(), weights(guidance, R, B), bounds(clip), B, N, DTYPES[state.dtype],
        DTYPES[input.dtype], state.data_ptr(), input.data_ptr(),
        array("seeds", seeds, (B,), np.uint64),
    )  # fmt: skip
    if state.is_cuda or host_loop:
        return _cuda_program(operands, state, input, host_loop)
    return Program(_core.program((state, input), operands), state, input)


def _cuda_program(
    operands: tuple[Any, ...], state: Tensor, input: Tensor, host_loop: tuple[int, int] | None
) -> Program:
    device = state.device
    host, offsets = _core.cuda_block(operands)
    block = torch.from_numpy(host).to(device)
    guard = cuda.guard(device)
    with guard:
        launch = _core.cuda_program(
            (state, input, block), operands, block.data_ptr(), cuda.place(device, host_loop)
        )

    def advance(row: int, F: int, unconditional: int, noise: int, scale: int = 0) -> int:
        with guard:
            return int(launch(row, F, unconditional, noise, scale, cuda.stream(device)))

    start = offsets["first_bad"]
    first_bad = block[start : start + 4 * state.shape[1]].view(torch.int32)
    return Program(advance, state, input, block, first_bad)


def normal(
    out: Tensor,
    seeds: NDArray[np.uint64],
    purpose: int,
    stream: int,
    *,
    host_loop: tuple[int, int] | None = None,
) -> None:
    """Fill ``out`` [B, N] with the unit normals of the samples' seeds."""
    check_tensor("out", out, IO_DTYPES, 2)
    seeds = array("seeds", seeds, (len(out),), np.uint64)
    device, dtype = out.device, DTYPES[out.dtype]
    if out.is_cuda or host_loop:
        keys = cuda.upload(seeds.view(np.int64), device)
        with cuda.guard(device):
            status = _core.cuda_normal(
                out.data_ptr(), dtype, len(out), out.shape[1], keys.data_ptr(), purpose, stream,
                cuda.place(device, host_loop), cuda.stream(device),
            )  # fmt: skip
        return _done(status)
    target()
    _done(_core.normal(out.data_ptr(), dtype, out.shape[1], seeds, purpose, stream))


def corrupt(
    images: Tensor,
    coefficients: NDArray[np.float32],
    seeds: NDArray[np.uint64],
    input: Tensor,
    target_: Tensor,
    *,
    purpose: int,
    stream: int,
    host_loop: tuple[int, int] | None = None,
) -> None:
    """Write input = p·x0 + q·z and target = u·x0 + v·z for coefficients (p, q, u, v) [B, 4].

    images [B, N] are uint8 (x0 = pixel / 127.5 − 1), float32, bfloat16 or float16.
    """
    check_tensor("images", images, (*IO_DTYPES, torch.uint8), 2)
    check_tensor("input", input, IO_DTYPES, 2)
    check_tensor("target", target_, (torch.float32,), 2)
    B, N = images.shape
    if not images.shape == input.shape == target_.shape:
        raise ValueError("images, input and target differ in shape")
    columns = array("coefficients", coefficients, (B, 4), np.float32)
    keys = array("seeds", seeds, (B,), np.uint64)
    device = images.device
    if not device == input.device == target_.device:
        raise ValueError("images, input and target are on different devices")
    pointers = (
        images.data_ptr(), DTYPES[images.dtype], input.data_ptr(), DTYPES[input.dtype],
        target_.data_ptr(),
    )  # fmt: skip
    if images.is_cuda or host_loop:
        c, k = cuda.upload(columns, device), cuda.upload(keys.view(np.int64), device)
        with cuda.guard(device):
            status = _core.cuda_corrupt(
                *pointers, B, N, c.data_ptr(), k.data_ptr(), purpose, stream,
                cuda.place(device, host_loop), cuda.stream(device),
            )  # fmt: skip
    else:
        target()
        status = _core.corrupt(*pointers, N, columns, keys, purpose, stream)
    _done(status)


def _done(status: int) -> None:
    if status:
        raise RuntimeError(f"the native kernel refused its operands (status {status})")
