# SPDX-License-Identifier: Apache-2.0
"""The compiled module: what it is, and its kernels that fill tensors, behind all their checks."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch  # before the compiled module: both then share the OpenMP runtime torch brings
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.ops import cuda
from pydiffcore.ops.checks import address, array, check_tensor
from pydiffcore.ops.pool import empty

try:
    from pydiffcore import _core
except ImportError:
    if find_spec("pydiffcore._core") is not None:  # it is there, and says itself what it lacks
        raise
    raise ImportError(
        f"{Path(__file__).parents[2]} is the source tree without its compiled module _core: "
        "`pip install -e .` there, or, where pydiffcore is installed, start Python in another "
        "folder"
    ) from None

__all__ = [
    "corrupt",
    "info",
    "normal",
    "picked",
    "squared_error",
    "squared_error_and_gradient",
    "squared_gradient",
    "target",
    "unsupported",
]

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
SQUARED_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
IO_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


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


def picked(backend: str, device_type: str, registers: int, draws: int) -> bool:
    """Return whether the kernels run a plan; say why where they were asked for and cannot."""
    if backend not in ("auto", "native", "reference"):
        raise ValueError(f"backend is {backend!r}, expected 'auto', 'native' or 'reference'")
    if backend == "reference":
        return False
    reason = unsupported(device_type, registers=registers, draws=draws)
    if reason and backend == "native":
        raise RuntimeError(f"the native backend cannot run this plan: {reason}")
    return not reason


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

    images [B, *] are uint8 (x0 = pixel / 127.5 − 1), float32, bfloat16 or float16.
    """
    check_tensor("images", images, (*IO_DTYPES, torch.uint8), max(images.ndim, 1))
    check_tensor("input", input, IO_DTYPES, images.ndim)
    check_tensor("target", target_, (torch.float32,), images.ndim)
    B = len(images)
    N = images.numel() // max(B, 1)
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


def squared_error(
    F: Tensor, target_: Tensor, factor: Tensor | None = None, *, whole: bool = False
) -> Tensor:
    """Return m, the mean of (F − target)² of each sample, [B], or where whole mean(factor·m), [].

    F [B, *] is float32, bfloat16 or float16; target, of its shape, and factor [B] are float32.
    """
    return _squared_error(F, target_, factor, whole, 0.0, None)


def squared_error_and_gradient(
    F: Tensor, target_: Tensor, factor: Tensor | None, each: float, *, whole: bool
) -> tuple[Tensor, Tensor]:
    """Return what :func:`squared_error` does and, from the same pass, its gradient, of F's dtype.

    That is (F − target)·2·each·factor/n, each being the gradient of every factor·m, and n the
    number of a sample's elements; where whole and without a factor n is the number of all.
    """
    gradient = empty(F.shape, F.dtype, F.device)
    return _squared_error(F, target_, factor, whole, each, gradient), gradient


def _squared_error(
    F: Tensor,
    target_: Tensor,
    factor: Tensor | None,
    whole: bool,
    each: float,
    gradient: Tensor | None,
) -> Tensor:
    about = _squared(F, target_)
    if factor is not None:
        check_tensor("factor", factor, (torch.float32,), 1)
        if len(factor) != len(F):
            raise ValueError(f"factor has shape {tuple(factor.shape)}, expected ({len(F)},)")
    m = torch.empty(len(F), device=F.device)
    loss = torch.empty((), device=F.device) if whole else None
    count = F.numel() if whole and factor is None else about[4]
    _done(
        _core.squared_error(
            about, address(factor), m.data_ptr(), address(loss), each, count, address(gradient)
        )
    )
    return m if loss is None else loss


def squared_gradient(F: Tensor, target_: Tensor, scale: Tensor) -> Tensor:
    """Return (F − target)·scale, of the dtype and shape of F, with scale float32 [B] or []."""
    about = _squared(F, target_)
    check_tensor("scale", scale, (torch.float32,), scale.ndim)
    if scale.ndim > 1 or (scale.ndim and len(scale) != len(F)):
        raise ValueError(f"scale has shape {tuple(scale.shape)}, expected ({len(F)},) or ()")
    gradient = empty(F.shape, F.dtype, F.device)
    _done(_core.squared_gradient(about, scale.data_ptr(), scale.ndim == 1, gradient.data_ptr()))
    return gradient


def _squared(F: Tensor, target_: Tensor) -> tuple[int, int, int, int, int]:
    """Return (F, dtype, target, samples, size) of operands on the CPU, checked."""
    check_tensor("F", F, SQUARED_DTYPES, F.ndim)
    check_tensor("target", target_, (torch.float32,), F.ndim)
    if F.shape != target_.shape or F.numel() == 0:
        raise ValueError(
            f"F has shape {tuple(F.shape)}, expected that of target, {tuple(target_.shape)}, "
            "with at least one element"
        )
    if F.is_cuda or target_.is_cuda:
        raise ValueError("F or target is on a CUDA device, expected both on the CPU")
    target()
    samples = len(F)
    return F.data_ptr(), DTYPES[F.dtype], target_.data_ptr(), samples, F.numel() // samples


def _done(status: int) -> None:
    if status:
        raise RuntimeError(f"the native kernel refused its operands (status {status})")
