# SPDX-License-Identifier: Apache-2.0
"""Different samples and parts of samples at different rows: each has the bits of its own run."""

import functools

import cuda_battery
import native_battery as battery
import numpy as np
import pytest
import torch
from cases import CASES, ids

import pydiffcore
from pydiffcore import levels, prediction, samplers
from pydiffcore.ops import runner as runner_module
from pydiffcore.ops.noise import INITIAL, SAMPLER, reference_normal
from pydiffcore.ops.program import bind
from pydiffcore.ops.runner import Runner

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
SEEDS = [3, 2**63, 5, 7, 11]
PLAN = pydiffcore.trace(samplers.dpmpp_2m_sde, levels.karras(5, 0.02), prediction.edm())


def network(x):
    """Element by element, so that a part alone gives what it gives in its batch."""
    return (0.5 * x.float() + 0.25).to(x.dtype)


@pytest.fixture(params=["native", "host_loop", "reference"])
def made(request, monkeypatch):
    """A runner on each backend; the host loop is the CUDA kernel's body."""
    if request.param == "host_loop":
        monkeypatch.setattr(runner_module, "bind", functools.partial(bind, host_loop=(3, 32)))
    backend = "reference" if request.param == "reference" else "native"
    return functools.partial(Runner, backend=backend)


def alone(plan, shape, seeds=SEEDS, *, guided=None, **options):
    runner = Runner(plan, shape, seeds, backend="native", **options)
    x = runner.start()
    for _ in range(plan.nfe):
        F = network(x)
        x = runner.advance(F, None if guided is None else -F.clone())
    return x.clone()


def staggered(runner, T, *, guided=None, flat=False, seed=0):
    """Run to the end in a random order, with F of parts that wait not finite."""
    rng, n, B = np.random.default_rng(seed), runner.plan.nfe, len(runner.seeds)
    at, x = np.zeros((B, T), int), runner.start()
    while (at < n).any():
        rows = np.where((at < n) & (rng.random((B, T)) < 0.6), at + 1, -1)
        F = network(x).clone()
        waits = np.repeat(rows < 0, F.shape[1] // T, axis=1)
        F[torch.from_numpy(waits)] = torch.nan
        x = runner.advance_rows(
            F, rows[:, 0] if flat else torch.from_numpy(rows), None if guided is None else -F
        )
        at += rows > 0
    runner.check()
    return runner.query.clone()


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_samples_at_rows_of_their_own(case, made):
    plan = pydiffcore.trace(case.sampler, case.levels(4), prediction.edm(), **case.options)
    for shape in ((3,), (2, 7), (1, 3, 200)):
        expected = alone(plan, shape)
        assert torch.equal(staggered(made(plan, shape, SEEDS), 1, flat=True), expected)


@pytest.mark.parametrize("io", DTYPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clip", [None, (-0.8, 0.8)])
def test_parts_at_rows_of_their_own(io, dtype, clip, made):
    plan = pydiffcore.trace(
        samplers.dpmpp_2m_sde, levels.karras(4, 0.02), prediction.edm(), clip=clip
    )
    options = {"dtype": dtype, "io_dtype": io}
    for shape, T in (((4,), 4), ((6, 5), 3), ((6, 5), 6), ((4, 9, 30), 2), ((3, 1030), 3)):
        expected = alone(plan, shape, **options)
        assert torch.equal(staggered(made(plan, shape, SEEDS, **options), T), expected)


@pytest.mark.parametrize("per_sample", [False, True])
def test_guidance_weights_are_those_of_the_own_row(per_sample, made):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(PLAN.nfe, len(SEEDS)) if per_sample else PLAN.nfe)
    for shape, T in (((4, 9), 1), ((4, 9), 4), ((3, 600), 3)):
        options = {"guidance": weights}
        expected = alone(PLAN, shape, guided=True, **options)
        ours = staggered(made(PLAN, shape, SEEDS, **options), T, guided=True)
        assert torch.equal(ours, expected)


@pytest.mark.parametrize("length", [4, 5, 33, 700])
def test_a_part_is_a_run_of_its_own_with_its_elements_of_the_noise(length, made):
    """Three parts against three runs, whose noise is given: the parts' elements of the sample's."""
    T, whole = 3, 3 * length
    table = PLAN.stream.max() + 1
    keys = np.array(SEEDS, np.uint64)

    def normals(purpose, stream, t):
        z = reference_normal(keys, whole, purpose=purpose, stream=stream)
        return torch.from_numpy(z[:, t * length : (t + 1) * length].copy())

    ours = staggered(made(PLAN, (T, length), SEEDS), T)
    for t in range(T):
        noise = torch.stack([normals(SAMPLER, m, t) for m in range(max(table, PLAN.draws))])
        start = torch.tensor(PLAN.init_scale, dtype=torch.float32) * normals(INITIAL, 0, t)
        runner = Runner(PLAN, (length,), SEEDS, noise=noise[: PLAN.draws])
        x = runner.start(start)
        for _ in range(PLAN.nfe):
            x = runner.advance(network(x))
        assert torch.allclose(ours[:, t], x, rtol=1e-5, atol=1e-6)


def test_every_order_gives_the_same_bits(made):
    results = [staggered(made(PLAN, (4, 5), SEEDS), 4, seed=seed) for seed in range(5)]
    assert all(torch.equal(result, results[0]) for result in results)


def test_rows_of_the_whole_batch_come_first_and_a_start_begins_anew(made):
    runner, expected = made(PLAN, (4, 5), SEEDS), alone(PLAN, (4, 5))
    for _ in range(2):
        x = runner.start()
        for row in range(1, PLAN.nfe + 1):
            rows = np.full((5, 2), row)
            x = runner.advance(network(x)) if row < 3 else runner.advance_rows(network(x), rows)
        assert torch.equal(runner.query, expected)
        x = runner.start()
        runner.advance_rows(network(x), np.full((5, 2), 1))
        with pytest.raises(RuntimeError, match=r"call start\(\)"):
            runner.advance(network(x))


def test_parts_that_wait_keep_registers_and_input(made):
    runner = made(PLAN, (4, 5), SEEDS)
    x = runner.start()
    before, query = x.clone(), runner.query.clone()
    rows = np.array([1, -1, 1, -1, -1])
    after = runner.advance_rows(network(x), rows)
    moved = torch.from_numpy(rows > 0)
    assert torch.equal(after[~moved], before[~moved])
    assert torch.equal(runner.query[~moved], query[~moved])
    assert (after[moved] != before[moved]).all()


def test_gradients_flow_to_the_parts_that_moved():
    runner = Runner(PLAN, (2, 3), [1, 2])
    F = torch.full((2, 2, 3), 0.1, requires_grad=True)
    runner.start()
    runner.advance_rows(F, [[1, -1], [-1, 1]]).sum().backward()
    moved = torch.tensor([[True, False], [False, True]])
    assert (F.grad[moved] != 0).all()
    assert (F.grad[~moved] == 0).all()


def test_the_first_part_that_is_not_finite_is_named():
    for backend in ("native", "reference"):
        runner = Runner(PLAN, (2, 3), [8, 9], backend=backend)
        F = network(runner.start()).clone()
        runner.advance_rows(F, [[-1, -1], [-1, 1]])
        F[1, 1, 2] = torch.inf
        F[0, 0] = torch.nan
        with pytest.raises(FloatingPointError, match=r"call 1 .* sample 1 of 2 \(seed 9\)"):
            runner.advance_rows(F, [[-1, 1], [-1, 2]])


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_guidance_that_overflows_is_named(backend):
    """Both outputs are finite, and their sum; what guidance makes of them is not."""
    weights = np.full(PLAN.nfe, 1e10)
    runner = Runner(PLAN, (2, 3), [8, 9], guidance=weights, backend=backend)
    F = network(runner.start()).clone()
    F[1] = 1e30
    with pytest.raises(FloatingPointError, match=r"call 0 .* sample 1 of 2 \(seed 9\)"):
        runner.advance_rows(F, [1, 1], torch.zeros_like(F))


def test_halves_whose_sum_alone_overflows_name_the_part_that_is_not_finite():
    weights = np.ones(PLAN.nfe)
    runner = Runner(PLAN, (2, 3), [8, 9], guidance=weights, io_dtype=torch.float16)
    F = network(runner.start()).clone()
    F[0], F[1] = 6e4, torch.nan
    with pytest.raises(FloatingPointError, match="sample 1 of 2"):
        runner.advance_rows(F, [1, 1], F.clone())


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ([1, 1, 3, 1, 1], ValueError, r"rows\[2, 0\] is 3, expected 1, its next row, or -1"),
        ([0, 1, 1, 1, 1], ValueError, r"rows\[0, 0\] is 0, expected 1"),
        ([-2, 1, 1, 1, 1], ValueError, r"rows\[0, 0\] is -2, expected 1"),
        ([1, 1], ValueError, r"rows has shape \(2,\), expected \(5,\), or \(5, T\)"),
        (np.ones((5, 3), int), ValueError, r"T divides 4"),
        (np.ones((5, 0), int), ValueError, r"rows has shape \(5, 0\)"),
        ([1.0] * 5, TypeError, "rows has dtype float64"),
    ],
)
def test_rows_out_of_order_are_named(rows, error, words, made):
    runner = made(PLAN, (4, 5), SEEDS)
    F, before = network(runner.start()), runner.query.clone()
    with pytest.raises(error, match=words):
        runner.advance_rows(F, rows)
    assert torch.equal(runner.query, before)
    assert runner.advance_rows(F, [1] * 5) is not None
    with pytest.raises(ValueError, match=r"expected \(5, 1\) as in the call before"):
        runner.advance_rows(F, np.full((5, 2), 2))


def test_rows_past_the_last_and_before_the_start_are_refused(made):
    runner = made(PLAN, (4,), SEEDS)
    F = torch.zeros(5, 4)
    with pytest.raises(RuntimeError, match="start"):
        runner.advance_rows(F, [1] * 5)
    runner.start()
    for row in range(1, PLAN.nfe + 1):
        runner.advance_rows(F, [row] * 5)
    with pytest.raises(ValueError, match=r"is 6, expected -1: it is finished"):
        runner.advance_rows(F, [-1, PLAN.nfe + 1, -1, -1, -1])


def test_noise_from_outside_and_other_formats_are_refused():
    F = torch.zeros(5, 2, 3, 4)
    given = Runner(PLAN, (2, 3, 4), SEEDS, noise=torch.zeros(PLAN.draws, *F.shape))
    last = Runner(PLAN, (2, 3, 4), SEEDS, memory_format=torch.channels_last)
    for runner, words in (
        (given, "from the seeds"),
        (last, "memory_format is torch.channels_last"),
    ):
        runner.start()
        with pytest.raises(ValueError, match=words):
            runner.advance_rows(F, [1] * 5)


def small(rng, host_loop=None, channels=0, **options):
    """A program of ROWS random rows on 3 samples of 12 elements, and an output."""
    table = cuda_battery.plan(rng, 2, 1, 3, **options)
    state, input = battery.tensor(rng, (2, 3, 12), torch.float32), torch.zeros(3, 12)
    program = bind(
        **table, state=state, input=input, seeds=battery.seeds_of(rng, 3), channels=channels,
        host_loop=host_loop,
    )  # fmt: skip
    return program, battery.tensor(rng, (3, 12), torch.float32)


@pytest.mark.parametrize("grid", [(1, 1), (3, 7), (70, 5)])
@pytest.mark.parametrize("T", [1, 2, 3, 4, 6, 12])
def test_random_tables_on_both_kernels(T, grid):
    """Rows with other numbers of registers and draws beside each other, in any order."""
    for trial in range(10):
        sides = []
        for loop in (None, grid):
            rng = np.random.default_rng(trial)
            program, F = small(rng, loop, guided="sample", clip=(-0.5, 0.75))
            rows = rng.integers(-1, cuda_battery.ROWS, (3, T)).astype(np.int32)
            assert program.advance_rows(rows, F.data_ptr(), (-F).clone().data_ptr()) == 0
            sides.append([program.state, program.input])
        assert cuda_battery.same(sides)


@pytest.mark.parametrize("host_loop", [None, (2, 3)])
def test_refusals_leave_the_state_alone(host_loop):
    program, F = small(np.random.default_rng(0), host_loop)
    before, rows = program.state.clone(), np.ones((3, 2), np.int32)
    inside, shifted = program.state.data_ptr(), program.input.data_ptr() + 4
    assert program.advance_rows(rows, inside, 0) == 2
    assert program.advance_rows(rows, shifted, 0) == 2
    assert program.advance_rows(rows, F.data_ptr(), F.data_ptr()) == 4  # no weights
    assert program.advance_rows(np.ones((3, 5), np.int32), F.data_ptr(), 0) == 4
    beyond = program.advance_rows(np.full((3, 2), cuda_battery.ROWS, np.int32), F.data_ptr(), 0)
    assert beyond == (3 if host_loop is None else 0)  # a device does not look: nothing is done
    assert torch.equal(program.state, before)
    last, F = small(np.random.default_rng(0), host_loop, channels=3)
    assert last.advance_rows(rows, F.data_ptr(), 0) == 4


def test_a_device_remembers_the_sample_that_was_not_finite(monkeypatch):
    monkeypatch.setattr(runner_module, "bind", functools.partial(bind, host_loop=(3, 32)))
    runner = Runner(PLAN, (2, 3), [8, 9], backend="native")
    F = network(runner.start()).clone()
    runner.advance_rows(F, [[-1, -1], [-1, 1]])
    F[1, 1, 2] = torch.inf
    F[0, 0] = torch.nan
    runner.advance_rows(F, [[-1, 1], [-1, 2]])
    with pytest.raises(FloatingPointError, match=r"call 1 .* sample 1 of 2 \(seed 9\)"):
        runner.check()


def test_no_samples_and_no_elements():
    for shape in ((0, 4), (4, 0)):
        state, input = torch.zeros(1, *shape), torch.zeros(shape)
        for loop in (None, (2, 3)):
            program = bind(
                **cuda_battery.plan(np.random.default_rng(0), 1, 1, shape[0]), state=state,
                input=input, seeds=np.zeros(shape[0], np.uint64), host_loop=loop,
            )  # fmt: skip
            assert program.advance_rows(np.ones((shape[0], 1), np.int32), input.data_ptr(), 0) == 0
