# SPDX-License-Identifier: Apache-2.0
"""Unit normal noise as a pure function normal(seed, purpose, stream, e).

Element e of a sample, in C order, comes from block e // 4 of Philox4x32-10 under the sample's
64-bit seed: counter = (block low, block high, stream, purpose).  Words (0, 1) make elements 0, 1
of the block and words (2, 3) elements 2, 3, by Box-Muller:

    u = (word_r + 1/2)·2^-32        theta = word_a·2 pi·2^-32        r = sqrt(−2 log u)
    z_even = r cos(theta)           z_odd = r sin(theta)

in float32 with the library's own polynomials.  u is rounded once, hi16·65536 + (lo16 + 1/2) of the
word's halves, to 24 bits: near u = 1 the normals, which are close to 0, are up to 3e-4 from
those of an exact u, and the 128 highest words give u = 1 and ±0.  Every machine and device returns
the same bits, whatever the batch, the order or the number of threads.  float64 noise is the same
float32 noise, widened.  Changing a bit of this format is a breaking change.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011); Box, Muller (1958).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pydiffcore.ops import native

__all__ = [
    "AUGMENTATION",
    "BROWNIAN",
    "HUTCHINSON",
    "INITIAL",
    "LEVEL",
    "SAMPLER",
    "TRAINING",
    "checked_seeds",
    "checked_shape",
    "checked_word",
    "normal",
    "reference_normal",
    "seed_keys",
]

INITIAL, SAMPLER, TRAINING, LEVEL, AUGMENTATION, BROWNIAN, HUTCHINSON = range(7)


def normal(
    seeds: Any,
    shape: Sequence[int],
    *,
    purpose: int,
    stream: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return unit normals [B, *shape]: one seed per sample, the same bits for any batch.

    Args:
        seeds: B integers in [0, 2^64).
        shape: of one sample.
        purpose: what the noise is for, one of this module's constants.
        stream: which noise of that purpose, in [0, 2^32).
        device: where the result lives.
        dtype: float32, float64, bfloat16 or float16.

    Raises:
        TypeError, ValueError: an argument has a wrong type or value.

    """
    keys = seed_keys(seeds)
    sizes = torch.Size(checked_shape(shape))
    if dtype not in native.IO_DTYPES:
        raise TypeError(f"dtype is {dtype}, expected a floating-point dtype")
    on = torch.device(device)
    made = on if on.type == "cuda" and not native.unsupported("cuda") else torch.device("cpu")
    out = torch.empty((len(keys), *sizes), dtype=dtype, device=made)
    flat = out.view(len(keys), sizes.numel())
    native.normal(flat, keys, checked_word("purpose", purpose), checked_word("stream", stream))
    return out.to(on)


def checked_seeds(seeds: Any) -> list[int]:
    """Return the seeds as integers in [0, 2^64).

    Raises:
        TypeError: a seed is not an integer.
        ValueError: a seed is negative or too large.

    """
    if isinstance(seeds, Tensor):
        seeds = seeds.detach().cpu().numpy()
    if isinstance(seeds, str | bytes) or not hasattr(seeds, "__iter__"):
        raise TypeError(f"seeds is {seeds!r}, expected a sequence of integers, one per sample")
    checked = []
    for seed in seeds:
        try:
            value = operator.index(seed)
        except TypeError:
            raise TypeError(f"seeds holds {seed!r}, expected integers in [0, 2^64)") from None
        if not 0 <= value < 2**64:
            raise ValueError(f"seeds holds {value}, expected integers in [0, 2^64)")
        checked.append(value)
    return checked


def checked_shape(shape: Any) -> tuple[int, ...]:
    """Return the shape of one sample as a tuple.

    Raises:
        TypeError: it is no sequence of integers.
        ValueError: a size is negative.

    """
    try:
        sizes = tuple(operator.index(size) for size in shape)
    except TypeError:
        raise TypeError(
            f"shape is {shape!r}, expected the sizes of one sample, such as (3, 32, 32) or (2,)"
        ) from None
    if any(size < 0 for size in sizes):
        raise ValueError(f"shape is {sizes}, expected sizes of at least 0")
    return sizes


def seed_keys(seeds: Any) -> NDArray[np.uint64]:
    """Return the seeds as uint64 [B], checked as :func:`checked_seeds` does; keys as they are."""
    if isinstance(seeds, np.ndarray) and seeds.dtype == np.uint64 and seeds.ndim == 1:
        return seeds
    if isinstance(seeds, range) and seeds and 0 <= min(seeds[0], seeds[-1]):
        if max(seeds[0], seeds[-1]) < 2**64:
            places = np.arange(len(seeds), dtype=np.uint64)
            return places * np.uint64(seeds.step % 2**64) + np.uint64(seeds.start)
    if isinstance(seeds, Tensor):
        seeds = seeds.detach().cpu().numpy()
    if isinstance(seeds, list | tuple | np.ndarray):
        try:
            found = np.array(seeds)
        except (ValueError, OverflowError):
            found = np.empty(())
        if found.ndim == 1 and found.dtype.kind in "iu" and (found >= 0).all():
            return found.astype(np.uint64)
    return np.array(checked_seeds(seeds), np.uint64)


def checked_word(name: str, value: Any) -> int:
    """Return a value as an integer in [0, 2^32); ValueError or TypeError otherwise."""
    if not 0 <= operator.index(value) < 2**32:
        raise ValueError(f"{name} is {value}, expected an integer in [0, 2^32)")
    return operator.index(value)


def reference_philox(
    counter: Sequence[NDArray[np.uint64] | int], key: Sequence[NDArray[np.uint64] | int]
) -> list[NDArray[np.uint64]]:
    """Return the four words of Philox4x32-10, as uint64 arrays, for words of counter and key."""
    low = np.uint64(0xFFFFFFFF)
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = (np.asarray(word, np.uint64) for word in key)
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        high0, high1 = p0 >> np.uint64(32), p1 >> np.uint64(32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, p1 & low, high0 ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return list(np.broadcast_arrays(c0, c1, c2, c3))


def _horner(x: NDArray[np.float32], *coefficients: str) -> NDArray[np.float32]:
    total = np.full_like(x, float.fromhex(coefficients[-1]))
    for c in coefficients[-2::-1]:
        total = np.float32(float.fromhex(c)) + x * total
    return total


def reference_box_muller(
    radius_word: NDArray[np.uint64], angle_word: NDArray[np.uint64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the pair of float32 normals of two words, operation by operation as the kernels."""
    f32, u32, i32 = np.float32, np.uint32, np.int32
    word, angle = radius_word.astype(u32), angle_word.astype(u32)
    v = (word >> u32(16)).astype(f32) * f32(65536)
    v = v + ((word & u32(0xFFFF)).astype(f32) + f32(0.5))
    offset = v.view(u32) - u32(0x3F3504F3 + (32 << 23))
    e = (offset.view(i32) >> i32(23)).astype(f32)
    f = ((offset & u32(0x007FFFFF)) + u32(0x3F3504F3)).view(f32) + f32(-1)
    q = _horner(
        f, "-0x2p0", "0x1.fffffap-1", "-0x1.5556fp-1", "0x1.0004a6p-1", "-0x1.98d39ap-2",
        "0x1.535c98p-2", "-0x1.317d6cp-2", "0x1.2502ccp-2", "-0x1.65e53ap-3",
    )  # fmt: skip
    r = np.sqrt(f * q + e * f32(float.fromhex("-0x1.62e43p0")))
    turn = angle + u32(0x20000000)
    t = (angle - (turn & u32(0xC0000000))).view(i32).astype(f32) * f32(2.0**-29)
    t2 = t * t
    sine = t * _horner(t2, "0x1.921fb6p-1", "-0x1.4abc24p-4", "0x1.4680a4p-9", "-0x1.33199p-15")
    cosine = _horner(t2, "0x1p0", "-0x1.3bd39cp-2", "0x1.03b058p-6", "-0x1.4e78bep-12")
    odd = (turn & u32(0x40000000)) != 0
    x, y = r * np.where(odd, sine, cosine), r * np.where(odd, cosine, sine)
    x = x.view(u32) ^ ((turn + u32(0x40000000)) & u32(0x80000000))
    return x.view(f32), (y.view(u32) ^ (turn & u32(0x80000000))).view(f32)


def reference_normal(
    seeds: Any, size: int, *, purpose: int, stream: int = 0, first: int = 0
) -> NDArray[np.float32]:
    """Return elements first … first + size − 1 of each seed's noise, [B, size], by NumPy alone."""
    keys = np.array(checked_seeds(seeds), np.uint64)[:, None]
    blocks = np.arange(first // 4, (first + size + 3) // 4, dtype=np.uint64)[None]
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    words = reference_philox(
        (blocks & low, blocks >> half, stream, purpose), (keys & low, keys >> half)
    )
    pairs = (*reference_box_muller(words[0], words[1]), *reference_box_muller(words[2], words[3]))
    z = np.stack(pairs, axis=-1).reshape(len(keys), 4 * blocks.size)
    return z[:, first % 4 : first % 4 + size]
