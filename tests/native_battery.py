# SPDX-License-Identifier: Apache-2.0
"""Runs every native kernel on fixed operands and prints the target and one digest of all bits.

    python native_battery.py [threads] [flush]

The digest must not depend on PYDIFFCORE_TARGET, on the number of threads or, since nothing here is
subnormal in float32, on flush-to-zero.
"""

import hashlib
import sys

import numpy as np
import torch

from pydiffcore.ops import native
from pydiffcore.ops.program import bind
from pydiffcore.ops.weights import Weights

SIZES = [(1, 1), (3, 2), (300, 2), (600, 1), (70, 3), (40, 5), (33, 7), (9, 112)]
SIZES += [(2, 511), (3, 512), (2, 513), (5, 1030), (2, 70001)]
LAST = [(3, 3, 64), (2, 4, 515), (1, 70, 33), (5, 5, 7)]  # samples, channels, pixels
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def table(rng, K, M, B, clip, guided):
    """Two rows with K registers in and out and M draws: random coefficients and planes."""
    return {
        "registers_in": [K, K], "registers_out": [K, K], "draws": [M, M],
        "A": rng.normal(size=(2, K, K)), "f": rng.normal(size=(2, K)),
        "d": rng.normal(size=(2, K)), "S": rng.normal(size=(2, K, M)),
        "stream": rng.integers(0, 2**32, (2, M)).astype(np.uint32),
        "purpose": rng.integers(0, 7, (2, M)).astype(np.uint32),
        "c_skip": rng.normal(size=2), "c_out": rng.normal(size=2), "c_in": rng.normal(size=2),
        "clip": clip, "guidance": rng.normal(size=(2, B)) if guided else None, **planes(rng, K, 2),
    }  # fmt: skip


def planes(rng, K, R):
    """Planes that R rows read and write: 0 first, the others in any order."""
    rest = np.tile(np.arange(1, K, dtype=np.int32), (2, R, 1))
    both = np.pad(rng.permuted(rest, axis=2), ((0, 0), (0, 0), (1, 0)))
    return {"source": both[0], "target": both[1]}


def seeds_of(rng, B):
    return rng.integers(0, 2**64, B, dtype=np.uint64)


def tensor(rng, shape, dtype):
    return torch.from_numpy(rng.normal(size=shape)).to(dtype)


def outputs(rng):
    """Yield every tensor the kernels write."""
    for B, N in SIZES:
        for dtype in DTYPES:
            out = torch.empty(B, N, dtype=dtype)
            native.normal(out, seeds_of(rng, B), 3, 5)
            yield out
        yield from corrupted(rng, B, N)
        yield from squared(rng, B, N)
        for K, M, clip, guided in ((1, 0, None, 0), (2, 1, (-0.5, 0.5), 1), (4, 2, None, 1),
                                   (6, 3, (-1, 1), 0)):  # fmt: skip
            yield from rows(rng, B, N, K, M, clip, guided)
    yield from stepped(rng)
    for B, C, P in LAST:
        for K, M, clip, guided in ((2, 1, (-0.5, 0.5), 1), (1, 0, None, 0), (3, 2, None, 1)):
            yield from rows(rng, B, C * P, K, M, clip, guided, C)
            yield from parted(rng, B, C * P, C, K, M, clip, guided)


def corrupted(rng, B, N):
    images = torch.from_numpy(rng.integers(0, 256, (B, N)).astype(np.uint8))
    for dtype in DTYPES:
        input, target = torch.empty(B, N, dtype=dtype), torch.empty(B, N)
        coefficients = rng.normal(size=(B, 4)).astype(np.float32)
        native.corrupt(images, coefficients, seeds_of(rng, B), input, target, purpose=2, stream=1)
        yield from (input, target)


def squared(rng, B, N):
    for dtype in native.SQUARED_DTYPES:
        F, target = tensor(rng, (B, N), dtype), tensor(rng, (B, N), torch.float32)
        factor = tensor(rng, (B,), torch.float32)
        yield native.squared_error(F, target)
        yield native.squared_error(F, target, factor, whole=True).view(1)
        yield native.squared_gradient(F, target, factor)
        m, gradient = native.squared_error_and_gradient(F, target, factor, 0.1, whole=False)
        yield from (m, gradient)


def stepped(rng):
    """Weights of all sizes after two steps of AdamW, one without a gradient, with two averages."""
    shapes = [(N,) for _, N in SIZES] + [(), (0,), (40, 5)]
    made = [[tensor(rng, shape, torch.float32) for shape in shapes] for _ in range(5)]
    weights, first, *averages, gradients = made
    second = [tensor(rng, shape, torch.float32).square() for shape in shapes]
    steps = [torch.tensor(float(n % 3)) for n in range(len(shapes))]
    some = [[None, *averages[0][1:]], averages[1]]
    both = Weights(weights, first, second, steps, some)
    for clip in (1.0, 0.3):
        norm = both.norm([None if n == 4 else g for n, g in enumerate(gradients)])
        both.step(0.1, (0.9, 0.99), 1e-8, 0.01, clip, (0.3, 0.999))
        yield torch.tensor([norm], dtype=torch.float64)
        yield from (
            each.view(-1)
            for row in (weights, first, second, *averages)
            for each in row
            if each.numel()
        )
        yield torch.stack(steps)


def rows(rng, B, N, K, M, clip, guided, channels=0):
    for state_dtype in DTYPES[:2]:
        for dtype in DTYPES:
            state = tensor(rng, (K, B, N), state_dtype)
            input, F = tensor(rng, (B, N), dtype), tensor(rng, (B, N), dtype)
            unconditional = tensor(rng, (B, N), dtype)
            program = bind(
                **table(rng, K, M, B, clip, guided), state=state, input=input,
                seeds=seeds_of(rng, B), channels=channels,
            )  # fmt: skip
            status = program.advance(1, F.data_ptr(), unconditional.data_ptr() if guided else 0, 0)
            assert status == 0, status
            yield from (state, input)


def parted(rng, B, N, T, K, M, clip, guided):
    """Rows of their own for each of T parts of a sample."""
    for state_dtype in DTYPES[:2]:
        for dtype in DTYPES:
            state = tensor(rng, (K, B, N), state_dtype)
            input, F, u = (tensor(rng, (B, N), dtype) for _ in range(3))
            program = bind(
                **table(rng, K, M, B, clip, guided), state=state, input=input,
                seeds=seeds_of(rng, B),
            )  # fmt: skip
            at = rng.integers(-1, 2, (B, T)).astype(np.int32)
            assert program.advance_rows(at, F.data_ptr(), u.data_ptr() if guided else 0) == 0
            yield from (state, input)


def digest():
    rng, total = np.random.default_rng(1), hashlib.sha256()
    for out in outputs(rng):
        total.update(out.view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        torch.set_num_threads(int(sys.argv[1]))
    if "flush" in sys.argv and not torch.set_flush_denormal(True):
        sys.exit("this machine cannot flush subnormals to zero")
    print(native.target(), digest())
