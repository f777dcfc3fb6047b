# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels' bodies, run on the CPU block by block and thread by thread: the bits of the CPU
kernels for every shape of launch, and nothing written that is not theirs."""

import native_battery as battery
import numpy as np
import pytest
import torch
from cuda_battery import DTYPES, ROWS, STATES, corruptions, normals, plan, runs, same

from pydiffcore import Runner, levels, samplers, trace
from pydiffcore.ops import cuda
from pydiffcore.ops.program import bind
from pydiffcore.ops.rows import fold
from pydiffcore.sample import labels_of

GRIDS = [(1, 1), (1, 32), (3, 7), (2, 256), (70, 5)]


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
                options["scale"] = bool(rng.integers(2))
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


@pytest.mark.parametrize("name", ["state", "input", "F", "unconditional", "noise", "scale"])
def test_one_unaligned_operand(name):
    rng = np.random.default_rng(0)
    options = {"grid": (2, 8), "offset": {name: 1}, "noise": True, "guided": "row", "scale": True}
    for io in DTYPES:
        assert same(runs(rng, (3, 64), torch.float32, io, 2, 2, **options))


@pytest.mark.parametrize("io", DTYPES)
def test_network_output_in_the_input_buffer(io):
    rng = np.random.default_rng(0)
    table, seeds = plan(rng, 2, 1, 2), battery.seeds_of(rng, 2)
    first = battery.tensor(rng, (2, 2, 37), torch.float32)
    results = []
    for loop in (None, (2, 4)):
        state, input = first.clone(), torch.zeros(2, 37, dtype=io)
        program = bind(**table, state=state, input=input, seeds=seeds, host_loop=loop)
        program.advance(0, 0, 0, 0)
        assert [program.advance(row, input.data_ptr(), 0, 0) for row in (1, 2)] == [0, 0]
        results.append((state, input))
    assert same(results)


def small(rng, host_loop=(2, 3), **options):
    table, seeds = plan(rng, 2, 1, 3, **options), battery.seeds_of(rng, 3)
    state = battery.tensor(rng, (2, 3, 10), torch.float32)
    input = torch.zeros(3, 10)
    program = bind(**table, state=state, input=input, seeds=seeds, host_loop=host_loop)
    return program, [battery.tensor(rng, (3, 10), torch.float32) for _ in range(ROWS)]


def test_refusals_leave_the_state_alone():
    program, (F, *_) = small(np.random.default_rng(0))
    before = program.state.clone()
    assert program.advance(1, program.input.data_ptr() + 4, 0, 0) == 2
    assert program.advance(1, program.state.data_ptr(), 0, 0) == 2
    assert program.advance(0, 0, 0, program.state.data_ptr()) == 2
    assert program.advance(0, 0, 0, 0, program.state.data_ptr()) == 2
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


def test_a_row_without_a_term_gives_zeros_of_positive_sign():
    rng = np.random.default_rng(0)
    table, seeds, results = plan(rng, 2, 1, 3), battery.seeds_of(rng, 3), []
    table["registers_in"][0] = table["draws"][0] = 0
    for loop in (None, (2, 3)):
        state, input = torch.ones(2, 3, 10), torch.ones(3, 10)
        program = bind(**table, state=state, input=input, seeds=seeds, host_loop=loop)
        assert program.advance(0, 0, 0, 0) == 0
        assert not state[0].view(torch.int32).any()
        results.append((state, input))
    assert same(results)


def test_what_a_device_reads_goes_there_without_a_wait(monkeypatch):
    """From pinned memory, which only `upload` and `write` do: a plain copy waits for the device."""
    gone, upload, write = [], cuda.upload, cuda.write
    monkeypatch.setattr(cuda, "upload", lambda *each: gone.append("upload") or upload(*each))
    monkeypatch.setattr(cuda, "write", lambda *each: gone.append("write") or write(*each))
    program, _ = small(np.random.default_rng(0))
    assert gone == ["upload"]
    assert program.reseed(np.arange(3, dtype=np.uint64))
    assert gone == ["upload", "write"]
    gone.clear()
    runner = Runner(trace(samplers.euler, levels.karras(3)), (2,), [1, 2])
    assert torch.equal(labels_of(runner), torch.tensor(runner.plan.c_noise.tolist()))
    assert gone == ["upload"]


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
    for shape in shapes:
        for offset in (0, 1):
            assert same(normals(rng, shape, dtype, grid=grid, offset=offset))


def test_ten_million_normals():
    rng = np.random.default_rng(0)
    assert same(normals(rng, (10, 10**6), torch.float32, grid=(528, 256)))


@pytest.mark.parametrize("images", [*DTYPES, torch.uint8])
@pytest.mark.parametrize("dtype", DTYPES)
def test_corruption(images, dtype):
    rng = np.random.default_rng(0)
    shapes = [(1, 1), (300, 2), (3, 112), (2, 513), (3, 64)]
    for shape, grid in zip(shapes, GRIDS, strict=True):
        for offset in (0, 1, {"images": 1}, {"input": 1}, {"target": 1}):
            assert same(corruptions(rng, shape, images, dtype, grid=grid, offset=offset))


def test_a_table_with_other_planes_in_the_same_memory():
    """A captured loop reads them from the table, as it does coefficients."""
    rng = np.random.default_rng(0)
    plans = [trace(s, levels.karras(9)) for s in (samplers.dpmpp_3m, samplers.unipc)]
    first, second = (
        fold(plan, unit_noise=True, single=True, copies=copies).arguments()
        for plan, copies in zip(plans, (True, False), strict=True)
    )
    assert not np.array_equal(first["target"], second["target"])
    seeds, (state, other) = np.arange(2, dtype=np.uint64), torch.full((2, 3, 2, 37), torch.nan)
    outputs = battery.tensor(rng, (9, 2, 37), torch.float32)

    def run(program):  # to the query before the last, which is D alone
        for row in range(9):
            assert program.advance(row, outputs[row - 1].data_ptr() if row else 0, 0, 0) == 0
        return program.state[0].clone()

    given = {"seeds": seeds, "input": torch.zeros(2, 37)}
    expected = run(bind(**second, **given, state=other))
    program = bind(**first, **given, state=state, host_loop=(2, 16))
    assert not torch.equal(run(program), expected)
    assert program.rewrite(**second, seeds=seeds)
    assert torch.equal(run(program), expected)
