# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

def version() -> str: ...
def target() -> str | None: ...
def targets() -> str: ...
def threads() -> int: ...
def openmp_library() -> str: ...
def program(
    owner: object, operands: tuple[Any, ...]
) -> tuple[Callable[..., int], Callable[..., int]]: ...
def normal(
    out: int, dtype: int, size: int, seeds: NDArray[Any], purpose: int, stream: int
) -> int: ...
def corrupt(
    images: int,
    image_dtype: int,
    input: int,
    input_dtype: int,
    target: int,
    size: int,
    coefficients: NDArray[Any],
    seeds: NDArray[Any],
    purpose: int,
    stream: int,
) -> int: ...
def squared_error(
    of: tuple[int, int, int, int, int],
    factor: int,
    means: int,
    loss: int,
    each: float,
    count: int,
    gradient: int,
) -> int: ...
def squared_gradient(
    of: tuple[int, int, int, int, int],
    scale: int,
    per_sample: bool,
    gradient: int,
) -> int: ...
def gradient_norm(sizes: NDArray[Any], tensors: NDArray[Any]) -> float: ...
def adamw_step(
    sizes: NDArray[Any],
    tensors: NDArray[Any],
    numbers: tuple[float, float, float, float, float, float],
    beta: NDArray[Any],
) -> int: ...
def cuda_architectures() -> str: ...
def cuda_devices() -> int: ...
def cuda_error() -> str: ...
def cuda_block(operands: tuple[Any, ...]) -> tuple[NDArray[Any], dict[str, int]]: ...
def cuda_program(
    owner: object, operands: tuple[Any, ...], block: int, where: tuple[int, int, int]
) -> tuple[Callable[..., int], Callable[..., int]]: ...
def cuda_normal(
    out: int,
    dtype: int,
    samples: int,
    size: int,
    seeds: int,
    purpose: int,
    stream: int,
    where: tuple[int, int, int],
    cuda_stream: int,
) -> int: ...
def cuda_corrupt(
    images: int,
    image_dtype: int,
    input: int,
    input_dtype: int,
    target: int,
    samples: int,
    size: int,
    coefficients: int,
    seeds: int,
    purpose: int,
    stream: int,
    where: tuple[int, int, int],
    cuda_stream: int,
) -> int: ...
