# SPDX-License-Identifier: Apache-2.0
"""Random plans, run on two sides that must leave the same bits: a CPU kernel, and the CUDA kernels
on a device or in the host loop."""

import native_battery as battery
import numpy as np
import torch

from pydiffcore.ops import native
from pydiffcore.ops.program import bind

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
STATES = [torch.float32, torch.float64]
ROWS = 4
CANARY = 77.0


def plan(rng, K, M, B, *, clip=None, guided=None):
    """ROWS rows with random numbers of registers and draws; row 0 starts from noise alone."""
    one = battery.table(rng, K, M, B, clip, guided is not None)
    table = {
        name: np.concatenate([np.asarray(value)] * (ROWS // 2))
        for name, value in one.items()
        if name not in ("clip", "guidance")
    }
    for name in ("A", "f", "d", "S", "c_in", "c_skip", "c_out"):
        table[name] = rng.normal(size=table[name].shape)
    table["d"][1::3] = 0.0  # rows that read no clipped prediction
    table["stream"] = rng.integers(0, 2**32, (ROWS, M)).astype(np.uint32)
    table["registers_in"] = rng.integers(1, K + 1, ROWS)
    table["registers_in"][0] = 0 if M else 1
    table["registers_out"] = rng.integers(1, K + 1, ROWS)
    table |= battery.planes(rng, K, ROWS)
    table["draws"] = rng.integers(0, M + 1, ROWS)
    table["draws"][0] = M
    table["c_in"][-1] = 0.0
    shape = {None: None, "row": (ROWS,), "sample": (ROWS, B)}[guided]
    weights = None if shape is None else rng.normal(size=shape)
    return {**table, "clip": clip, "guidance": weights}


def placed(values, name, offset, device="cpu"):
    """A copy of a tensor inside a larger one, `offset` elements off its alignment.

    offset: a number, or one for the tensor of this name in a dictionary.
    """
    offset = offset if isinstance(offset, int) else offset.get(name, 0)
    memory = torch.full((values.numel() + 16,), CANARY, dtype=values.dtype, device=device)
    view = memory[offset : offset + values.numel()].view(values.shape)
    view.copy_(values)
    return memory, view


def last(values, C):
    """A batch [B, N] with its C channels last in memory, or as it is."""
    B, N = values.shape
    return values.view(B, C, -1).transpose(1, 2).reshape(B, N) if C else values


def first(memory, view, C):
    """A copy of memory on the CPU, with the channels of the batch in it first again."""
    copy, start = memory.to("cpu", copy=True), view.storage_offset()
    if C and view.numel():
        part = copy[start : start + view.numel()].view(len(view), -1, C)
        part.copy_(part.clone().transpose(1, 2).reshape(part.shape))
    return copy


def runs(rng, shape, state_dtype, io, K, M, *, device="cpu", grid=None, offset=0, noise=False,
         scale=False, channels=0, **options):  # fmt: skip
    """Yield the memory that a CPU program and the other side's leave, row by row.

    channels: of the network on the other side, where it has them last, and on the CPU once more.
    """
    table, seeds = plan(rng, K, M, shape[0], **options), battery.seeds_of(rng, shape[0])
    begin = battery.tensor(rng, (K, *shape), state_dtype)
    outputs = [battery.tensor(rng, shape, io) for _ in range(2 * ROWS)]
    draws, factors = (battery.tensor(rng, (M, *shape), state_dtype) for _ in range(2))
    for tensor in (*outputs, draws, factors):
        tensor.masked_fill_(torch.from_numpy(rng.random(tensor.shape) < 0.2), -0.0)
    sides = [("cpu", None, 0), (device, grid, channels)]
    for side, loop, C in [*sides, ("cpu", None, channels)][: 3 if channels else 2]:
        state_memory, state = placed(begin, "state", offset, side)
        input_memory, input = placed(torch.zeros(shape, dtype=io), "input", offset, side)
        z, s = (placed(x, n, offset, side)[1] for x, n in ((draws, "noise"), (factors, "scale")))
        program = bind(
            **table, state=state, input=input, seeds=seeds, channels=C, host_loop=loop
        )  # fmt: skip
        memory = []
        for row in range(ROWS):
            F = placed(last(outputs[2 * row], C), "F", offset, side)[1]
            u = placed(last(outputs[2 * row + 1], C), "unconditional", offset, side)[1]
            guided = row > 0 and options.get("guided")
            status = program.advance(
                row, F.data_ptr() if row else 0, u.data_ptr() if guided else 0,
                z.data_ptr() if noise else 0, s.data_ptr() if scale else 0,
            )  # fmt: skip
            assert status == 0
            memory += [state_memory.to("cpu", copy=True), first(input_memory, input, C)]
        yield memory


def normals(rng, shape, dtype, *, device="cpu", grid=None, offset=0):
    """Yield the memory of normals from both sides."""
    seeds = battery.seeds_of(rng, shape[0])
    for side, loop in (("cpu", None), (device, grid)):
        memory, out = placed(torch.zeros(shape, dtype=dtype), "out", offset, side)
        native.normal(out, seeds, 3, 5, host_loop=loop)
        yield [memory.cpu()]


def corruptions(rng, shape, images, dtype, *, device="cpu", grid=None, offset=0):
    """Yield the memory of network inputs and targets from both sides."""
    seeds, c = battery.seeds_of(rng, shape[0]), rng.normal(size=(shape[0], 4)).astype(np.float32)
    pixels = torch.from_numpy(rng.integers(0, 256, shape).astype(np.uint8))
    x0 = pixels if images == torch.uint8 else battery.tensor(rng, shape, images)
    for side, loop in (("cpu", None), (device, grid)):
        input_memory, input = placed(torch.zeros(shape, dtype=dtype), "input", offset, side)
        target_memory, target = placed(torch.zeros(shape), "target", offset, side)
        native.corrupt(
            placed(x0, "images", offset, side)[1], c, seeds, input, target, purpose=2, stream=7,
            host_loop=loop,
        )  # fmt: skip
        yield [input_memory.cpu(), target_memory.cpu()]


def same(sides):
    bits = [[memory.view(torch.uint8) for memory in side] for side in sides]
    return all(torch.equal(a, b) for other in bits[1:] for a, b in zip(bits[0], other, strict=True))
