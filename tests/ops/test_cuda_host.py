# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels' bodies, run on the CPU block by block and thread by thread: the bits of the CPU
kernels for every shape of launch, and nothing written that is not theirs."""

import native_battery as battery
import numpy as np
import pytest
import torch

from pydiffcore.ops import native

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
STATES = [torch.float32, torch.float64]
GRIDS = [(1, 1), (1, 32), (3, 7), (2, 256), (70, 5)]
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
    table["stream"] = rng.integers(0, 2**32, (ROWS, M)).astype(np.uint32)
    table["registers_in"] = rng.integers(1, K + 1, ROWS)
    table["registers_in"][0] = 0 if M else 1
    table["registers_out"] = rng.integers(1, K + 1, ROWS)
    table["draws"] = rng.integers(0, M + 1, ROWS)
    table["draws"][0] = M
    table["c_in"][-1] = 0.0
    shape = {None: None, "row": (ROWS,), "sample": (ROWS, B)}[guided]
    weights = None if shape is None else rng.normal(size=shape)
    return {**table, "clip": clip, "guidance": weights}


def placed(values, offset):
    """A copy of a tensor inside a larger one, `offset` elements off its alignment."""
    memory = torch.full((values.numel() + 16,), CANARY, dtype=values.dtype)
    view = memory[offset : offset + values.numel()].view(values.shape)
    view.copy_(values)
    return memory, view


def runs(rng, shape, state_dtype, io, K, M, *, grid, offset=0, noise=False, **options):
    """The memory that a CPU program and a host-run one leave after all rows, row by row."""
    B = shape[0]
    table, seeds = plan(rng, K, M, B, **options), battery.seeds_of(rng, B)
    first = battery.tensor(rng, (K, *shape), state_dtype)
    outputs = [battery.tensor(rng, shape, io) for _ in range(2 * ROWS)]
    draws = battery.tensor(rng, (M, *shape), state_dtype)
    for loop in (None, grid):
        state_memory, state = placed(first, offset)
        input_memory, input = placed(torch.zeros(shape, dtype=io), offset)
        program = native.program(**table, state=state, input=input, seeds=seeds, host_loop=loop)
        memory = []
        for row in range(ROWS):
            F, u = (placed(x, offset)[1] for x in outputs[2 * row : 2 * row + 2])
            z = placed(draws, offset)[1]
            guided = row > 0 and options.get("guided")
            status = program.advance(
                row, F.data_ptr() if row else 0, u.data_ptr() if guided else 0,
                z.data_ptr() if noise else 0,
            )  # fmt: skip
            assert status == 0
            memory += [state_memory.clone(), input_memory.clone()]
        yield memory


def same(pair):
    cpu, host = pair
    return all(torch.equal(a, b) for a, b in zip(cpu, host, strict=True))


@pytest.mark.parametrize("io", DTYPES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("K", [1, 2, 3, 4, 5, 8])
def test_random_plans(io, state, K):
    rng = np.random.default_rng(K)
    for M in range(4):
        for clip in (None, (-0.5, 0.75)):
            for guided in (None, "row", "sample"):
                grid = GRIDS[rng.integers(len(GRIDS))]
                shape = (int(rng.integers(1, 5)), int(rng.integers(1, 70)))
                options = {"clip": clip, "guided": guided, "noise": bool(rng.integers(2))}
                assert same(runs(rng, shape, state, io, K, M, grid=grid, **options))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 8, 9, 111, 112, 113, 1023, 1024, 1025])
@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("io", DTYPES)
def test_sizes(size, batch, io):
    rng = np.random.default_rng(size)
    for grid in GRIDS:
        assert same(runs(rng, (batch, size), torch.float32, io, 2, 1, grid=grid))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_many_tiny_samples(grid, size):
    rng = np.random.default_rng(0)
    options = {"clip": (-1, 1), "guided": "sample"}
    assert same(runs(rng, (700, size), torch.float32, torch.float32, 1, 1, grid=grid, **options))


@pytest.mark.parametrize("offset", [1, 2, 3, 4])
@pytest.mark.parametrize("io", DTYPES)
@pytest.mark.parametrize("state", STATES)
def test_unaligned_memory(offset, io, state):
    rng = np.random.default_rng(offset)
    for noise in (False, True):
        options = {"grid": (2, 8), "offset": offset, "noise": noise, "guided": "row"}
        assert same(runs(rng, (3, 64), state, io, 2, 2, **options))


@pytest.mark.parametrize("io", DTYPES)
def test_network_output_in_the_input_buffer(io):
    rng = np.random.default_rng(0)
    table, seeds = plan(rng, 2, 1, 2), battery.seeds_of(rng, 2)
    first = battery.tensor(rng, (2, 2, 37), torch.float32)
    results = []
    for loop in (None, (2, 4)):
        state, input = first.clone(), torch.zeros(2, 37, dtype=io)
        program = native.program(**table, state=state, input=input, seeds=seeds, host_loop=loop)
        program.advance(0, 0, 0, 0)
        assert [program.advance(row, input.data_ptr(), 0, 0) for row in (1, 2)] == [0, 0]
        results.append((state, input))
    assert same(results)


def small(rng, host_loop=(2, 3), **options):
    table, seeds = plan(rng, 2, 1, 3, **options), battery.seeds_of(rng, 3)
    state = battery.tensor(rng, (2, 3, 10), torch.float32)
    input = torch.zeros(3, 10)
    program = native.program(**table, state=state, input=input, seeds=seeds, host_loop=host_loop)
    return program, [battery.tensor(rng, (3, 10), torch.float32) for _ in range(ROWS)]


def test_refusals_leave_the_state_alone():
    program, (F, *_) = small(np.random.default_rng(0))
    before = program.state.clone()
    assert program.advance(1, program.input.data_ptr() + 4, 0, 0) == 2
    assert program.advance(1, program.state.data_ptr(), 0, 0) == 2
    assert program.advance(0, 0, 0, program.state.data_ptr()) == 2
    assert program.advance(ROWS, F.data_ptr(), 0, 0) == 3
    assert program.advance(-2, F.data_ptr(), 0, 0) == 3
    assert program.advance(1, F.data_ptr(), F.data_ptr(), 0) == 4
    assert torch.equal(program.state, before)


@pytest.mark.parametrize("host_loop", [(2, 257), (-1, 4), (1, -1)])
def test_launch_shapes_out_of_range(host_loop):
    with pytest.raises(RuntimeError, match="launch shape"):
        small(np.random.default_rng(0), host_loop=host_loop)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_counter_runs_row_after_row(grid):
    counted, outputs = small(np.random.default_rng(0), host_loop=grid)
    named, _ = small(np.random.default_rng(0), host_loop=grid)
    counter = counted.block[:8].view(torch.int64)
    for _ in range(2):
        for row, F in enumerate(outputs):
            assert counter.item() == row
            F_pointer = F.data_ptr() if row else 0
            assert counted.advance(-1, F_pointer, 0, 0) == 0
            assert named.advance(row, F_pointer, 0, 0) == 0
            assert torch.equal(counted.state, named.state)
            assert torch.equal(counted.input, named.input)
        counted.advance(-1, outputs[0].data_ptr(), 0, 0)  # past the last row: nothing
        assert torch.equal(counted.state, named.state)
        counter.zero_()


def test_the_first_bad_row_of_each_sample_is_kept():
    program, outputs = small(np.random.default_rng(0))
    assert program.advance(0, 0, 0, 0) == 0
    outputs[1][2, 9] = float("nan")
    outputs[2][1, 0] = outputs[2][2, 0] = float("inf")
    for row in (1, 2, 3):
        assert program.advance(row, outputs[row].data_ptr(), 0, 0) == 0
    assert program.first_bad.tolist() == [0, 3, 2]
    assert program.status() == (1, 2)
    program.advance(0, 0, 0, 0)
    assert program.status() is None


def test_a_block_takes_other_seeds_and_another_plan():
    """What a captured launch reads is memory: copying over it changes the next replay."""
    program, outputs = small(np.random.default_rng(0))
    other, _ = small(np.random.default_rng(1))
    program.block.copy_(other.block)
    program.state.copy_(other.state)
    for row in range(ROWS):
        for p in (program, other):
            p.advance(row, outputs[row].data_ptr() if row else 0, 0, 0)
    assert torch.equal(program.state, other.state)
    assert torch.equal(program.input, other.input)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("grid", GRIDS)
def test_normals(dtype, grid):
    rng = np.random.default_rng(0)
    shapes = [(1, 1), (300, 2), (70, 3), (40, 5), (9, 112), (2, 513), (1, 4099), (0, 4), (4, 0)]
    for B, N in shapes:
        seeds = battery.seeds_of(rng, B)
        for offset in (0, 1):
            values = torch.zeros(B, N, dtype=dtype)
            (cpu_memory, cpu), (memory, out) = placed(values, offset), placed(values, offset)
            native.normal(cpu, seeds, 3, 5)
            native.normal(out, seeds, 3, 5, host_loop=grid)
            assert torch.equal(memory, cpu_memory)


def test_ten_million_normals():
    seeds = battery.seeds_of(np.random.default_rng(0), 10)
    cpu, out = torch.empty(10, 10**6), torch.empty(10, 10**6)
    native.normal(cpu, seeds, 1, 2)
    native.normal(out, seeds, 1, 2, host_loop=(528, 256))
    assert torch.equal(out, cpu)


@pytest.mark.parametrize("images", [*DTYPES, torch.uint8])
@pytest.mark.parametrize("dtype", DTYPES)
def test_corruption(images, dtype):
    rng = np.random.default_rng(0)
    for (B, N), grid in zip([(1, 1), (300, 2), (3, 112), (2, 513), (3, 64)], GRIDS, strict=True):
        seeds, c = battery.seeds_of(rng, B), rng.normal(size=(B, 4)).astype(np.float32)
        pixels = torch.from_numpy(rng.integers(0, 256, (B, N)).astype(np.uint8))
        x0 = pixels if images == torch.uint8 else battery.tensor(rng, (B, N), images)
        for offset in (0, 1):
            memory = []
            for loop in (None, grid):
                input_memory, input = placed(torch.zeros(B, N, dtype=dtype), offset)
                target_memory, target = placed(torch.zeros(B, N), offset)
                native.corrupt(
                    placed(x0, offset)[1], c, seeds, input, target, purpose=2, stream=7,
                    host_loop=loop,
                )  # fmt: skip
                memory.append((input_memory, target_memory))
            assert same(memory)
