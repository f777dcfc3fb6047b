# SPDX-License-Identifier: Apache-2.0
"""Native rows: equal to NumPy's arithmetic to the bit, on every target, and never a crash."""

import os
import subprocess
import sys
from pathlib import Path

import native_battery as battery
import numpy as np
import pytest
import torch

from pydiffcore.ops import native
from pydiffcore.ops.noise import reference_normal
from pydiffcore.ops.program import bind

PYTHON = [sys.executable, *(["-S"] if sys.flags.no_site else [])]
TORCH = {np.float32: torch.float32, np.float64: torch.float64}
IO_DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def oracle(t, row, state, F, unconditional, noise, seeds):
    """One row in NumPy: registers after it, and the next input before its cast."""
    T, N = state.dtype.type, state.shape[2]
    z = noise
    if noise is None:
        z = [
            reference_normal(seeds, N, purpose=int(p), stream=int(s)).astype(T)
            for p, s in zip(t["purpose"][row], t["stream"][row], strict=True)
        ]
    if unconditional is not None:
        w = np.broadcast_to(t["guidance"][row], len(seeds)).astype(T)[:, None]
        F = unconditional + w * (F - unconditional)
    if t["clip"] is not None:
        low, high = t["clip"]
        D = T(t["c_skip"][row]) * state[0] + T(t["c_out"][row]) * F
        D = np.minimum(np.maximum(D, T(low)), T(high))
    after = []
    for j in range(t["registers_out"][row]):
        terms = [T(t["A"][row, j, k]) * state[k] for k in range(t["registers_in"][row])]
        terms += [] if F is None else [T(t["f"][row, j]) * F]
        terms += [] if t["clip"] is None else [T(t["d"][row, j]) * D]
        terms += [T(t["S"][row, j, m]) * z[m] for m in range(t["draws"][row])]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        after.append(total)
    return after, T(t["c_in"][row]) * after[0]


class Bench:
    """A program on random tensors, and its oracle."""

    def __init__(self, K=2, M=1, shape=(3, 70), state=np.float32, io=torch.float32,
                 clip=None, guided=False, kin=None, kout=None, seed=0):  # fmt: skip
        rng = np.random.default_rng(seed)
        self.B, self.N = shape
        self.table = battery.table(rng, K, M, self.B, clip, guided)
        self.table["registers_in"] = [K if kin is None else kin] * 2
        self.table["registers_out"] = [kout or K] * 2
        self.seeds = battery.seeds_of(rng, self.B)
        self.state = battery.tensor(rng, (K, *shape), TORCH[state])
        self.F, self.unconditional, self.input = (battery.tensor(rng, shape, io) for _ in range(3))
        self.program = bind(**self.table, state=self.state, input=self.input, seeds=self.seeds)
        self.before = self.state.numpy().copy()

    def expect(self, F=None, unconditional=None, noise=None):
        T = self.before.dtype
        F, unconditional = (
            None if x is None else x.to(self.state.dtype).numpy() for x in (F, unconditional)
        )
        assert T in (np.float32, np.float64)
        return oracle(self.table, 1, self.before, F, unconditional, noise, self.seeds)

    def check(self, expected):
        after, input = expected
        for j, register in enumerate(after):
            np.testing.assert_array_equal(self.state[j].numpy(), register)
        assert torch.equal(self.input, torch.from_numpy(input).to(self.input.dtype))

    def advance(self, F=None, unconditional=None, noise=None, row=1):
        pointers = [0 if x is None else x.data_ptr() for x in (F, unconditional, noise)]
        return self.program.advance(row, *pointers)


@pytest.mark.parametrize("io", IO_DTYPES)
@pytest.mark.parametrize("state", [np.float32, np.float64])
@pytest.mark.parametrize("clip", [None, (-0.5, 0.75)])
@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("M", [0, 1, 2, 3])
def test_row_equals_numpy(io, state, clip, guided, M):
    for K in (1, 3):
        b = Bench(K, M, (3, 70), state, io, clip, guided)
        unconditional = b.unconditional if guided else None
        expected = b.expect(b.F, unconditional)
        assert b.advance(b.F, unconditional) == 0
        b.check(expected)


@pytest.mark.parametrize("kin", range(9))
@pytest.mark.parametrize("kout", range(1, 9))
def test_every_number_of_registers(kin, kout):
    b = Bench(8, 1, kin=kin, kout=kout)
    expected = b.expect(b.F)
    assert b.advance(b.F) == 0
    b.check(expected)
    np.testing.assert_array_equal(b.state[kout:].numpy(), b.before[kout:])


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 15, 16, 17, 511, 512, 513, 1023, 1025, 20000])
@pytest.mark.parametrize("batch", [0, 1, 3, 300])
def test_sizes(size, batch):
    b = Bench(2, 1, (batch, size if batch < 300 else size % 20), io=torch.bfloat16)
    expected = b.expect(b.F)
    assert b.advance(b.F) == 0
    b.check(expected)


def test_a_row_without_network_output():
    b = Bench(2, 1)
    expected = b.expect()
    assert b.advance() == 0
    b.check(expected)


def test_initial_noise_reads_no_register():
    b = Bench(2, 1, kin=0)
    b.state.fill_(float("nan"))
    expected = b.expect()
    assert b.advance() == 0
    b.check(expected)


def test_the_last_row_writes_no_input():
    b = Bench(1, 0)
    b.table["c_in"][1] = 0
    program = bind(**b.table, state=b.state, input=b.input, seeds=b.seeds)
    kept = b.input.clone()
    assert program.advance(1, b.F.data_ptr(), 0, 0) == 0
    assert torch.equal(b.input, kept)


@pytest.mark.parametrize("state", [np.float32, np.float64])
def test_explicit_noise(state):
    b = Bench(2, 2, state=state)
    noise = battery.tensor(np.random.default_rng(3), (2, b.B, b.N), TORCH[state])
    expected = b.expect(b.F, noise=noise.numpy())
    assert b.advance(b.F, noise=noise) == 0
    b.check(expected)


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("state", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 70), (40, 5), (300, 1), (2, 1200)])
def test_factors_of_the_draws(state, explicit, shape):
    """Element by element, of drawn and of explicit noise, in every layout of tiles."""
    for M in (1, 2, 3):
        b = Bench(2, M, shape, state=state, clip=(-0.5, 0.75))
        rng = np.random.default_rng(3)
        noise, scale = (battery.tensor(rng, (M, b.B, b.N), TORCH[state]) for _ in range(2))
        z = noise.numpy() if explicit else [
            reference_normal(b.seeds, b.N, purpose=int(p), stream=int(s)).astype(state)
            for p, s in zip(b.table["purpose"][1], b.table["stream"][1], strict=True)
        ]  # fmt: skip
        expected = b.expect(b.F, noise=[s * draw for s, draw in zip(scale.numpy(), z, strict=True)])
        given = noise.data_ptr() if explicit else 0
        assert b.program.advance(1, b.F.data_ptr(), 0, given, scale.data_ptr()) == 0
        b.check(expected)


@pytest.mark.parametrize("weights", ["rows", "samples"])
@pytest.mark.parametrize("shape", [(3, 70), (40, 5), (2, 1200)])
def test_guidance_weights(weights, shape):
    b = Bench(1, 0, shape, guided=True)
    if weights == "rows":
        b.table["guidance"] = b.table["guidance"][:, 0]
        b.program = bind(**b.table, state=b.state, input=b.input, seeds=b.seeds)
    expected = b.expect(b.F, b.unconditional)
    assert b.advance(b.F, b.unconditional) == 0
    b.check(expected)


@pytest.mark.parametrize("io", IO_DTYPES)
@pytest.mark.parametrize("guided", [False, True])
def test_the_network_may_return_its_input_buffer(io, guided):
    b = Bench(2, 1, (3, 1300), io=io, guided=guided)
    b.input.copy_(b.F)
    unconditional = b.unconditional if guided else None
    expected = b.expect(b.F, unconditional)
    assert b.advance(b.input, unconditional) == 0
    b.check(expected)


@pytest.mark.parametrize("operand", ["F", "unconditional", "noise", "scale"])
@pytest.mark.parametrize("victim", ["state", "input"])
def test_partial_overlap_is_refused(operand, victim):
    b = Bench(2, 1, guided=True)
    state, input = b.state.clone(), b.input.clone()
    address = getattr(b, victim).data_ptr() + 4
    pointers = {"F": b.F.data_ptr(), "unconditional": b.unconditional.data_ptr(), "noise": 0}
    pointers = {**pointers, "scale": 0, operand: address}
    assert b.program.advance(1, *pointers.values()) == 2
    assert torch.equal(b.state, state)
    assert torch.equal(b.input, input)


def test_operands_beside_the_state_are_accepted():
    memory = torch.randn(4, 3, 70)
    b = Bench(2, 0)
    program = bind(**b.table, state=memory[1:3], input=memory[3], seeds=b.seeds)
    assert program.advance(1, memory[0].data_ptr(), 0, 0) == 0


@pytest.mark.parametrize("row", [-1, 2, 2**40])
def test_there_is_no_such_row(row):
    b = Bench()
    assert b.advance(b.F, row=row) == 3
    np.testing.assert_array_equal(b.state.numpy(), b.before)


@pytest.mark.parametrize("io", IO_DTYPES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", [0, 69, 209])
def test_an_output_that_is_not_finite_is_reported(io, value, where):
    b = Bench(2, 1, io=io)
    assert b.advance(b.F) == 0
    b.F.view(-1)[where] = value
    assert b.advance(b.F) == 1


def test_a_bad_unconditional_output_is_reported():
    b = Bench(1, 0, guided=True)
    b.unconditional[2, 5] = float("nan")
    assert b.advance(b.F, b.unconditional) == 1


def test_unconditional_output_without_weights_is_refused():
    b = Bench(1, 0, guided=False)
    assert b.advance(b.F, b.unconditional) == 4


@pytest.mark.parametrize("offset", [1, 2, 3, 7])
@pytest.mark.parametrize("io", [torch.float32, torch.bfloat16])
def test_unaligned_tensors(offset, io):
    b = Bench(2, 1, (3, 333), io=io)
    memory = torch.zeros(3 * 333 + offset, dtype=io)
    shifted = memory[offset:].view(3, 333)
    shifted.copy_(b.F)
    expected = b.expect(b.F)
    assert b.advance(shifted) == 0
    b.check(expected)


@pytest.mark.parametrize("batch", [2, 40])
def test_rows_of_a_batch_equal_rows_of_its_samples(batch):
    whole = Bench(2, 1, (batch, 300))
    start, F = whole.state.clone(), whole.F
    assert whole.advance(F) == 0
    for i in range(batch):
        state, input = start[:, i : i + 1].clone(), torch.empty(1, 300)
        alone = bind(**whole.table, state=state, input=input, seeds=whole.seeds[i : i + 1])
        assert alone.advance(1, F[i : i + 1].clone().data_ptr(), 0, 0) == 0
        assert torch.equal(state[:, 0], whole.state[:, i])


def test_subnormal_halves_convert_exactly():
    patterns = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    for io in (torch.float16, torch.bfloat16):
        F = patterns.view(io)[None].clone()
        F[~torch.isfinite(F)] = 0
        b = Bench(1, 0, (1, 2**16), io=io)
        expected = b.expect(F)
        assert b.advance(F) == 0
        b.check(expected)


def test_every_float_rounds_to_halves_as_torch_does():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**32, 2**17, dtype=np.uint64).astype(np.uint32).view(np.float32)
    values[:4] = [65519.996, 65520, 2**-25, 2**-24 * 1.5]
    x = torch.from_numpy(np.where(np.isfinite(values), values, 0))[None]
    for io in (torch.float16, torch.bfloat16):
        b = Bench(1, 0, tuple(x.shape), io=io)
        b.table |= {"A": np.ones((2, 1, 1)), "f": np.zeros((2, 1)), "c_in": np.ones(2)}
        program = bind(**b.table, state=x.clone()[None], input=b.input, seeds=b.seeds)
        assert program.advance(1, b.F.data_ptr(), 0, 0) == 0
        assert torch.equal(b.input, x.to(io))


def test_a_program_outlives_its_wrapper():
    b = Bench(2, 1)
    expected, advance, F = b.expect(b.F), b.program.advance, b.F
    state = b.state.numpy()
    del b
    assert advance(1, F.data_ptr(), 0, 0) == 0
    np.testing.assert_array_equal(state[0], expected[0][0])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"state": torch.zeros(2, 3, 70, dtype=torch.bfloat16)}, TypeError, "state has dtype"),
        ({"state": torch.zeros(2, 70, 3).transpose(1, 2)}, ValueError, "contiguous"),
        ({"state": torch.zeros(9, 3, 70)}, ValueError, "9 registers"),
        ({"input": torch.zeros(3, 71)}, ValueError, "input has shape"),
        ({"input": [1.0]}, TypeError, "input is list"),
        ({"seeds": np.zeros(4, np.uint64)}, ValueError, "seeds has shape"),
        ({"A": np.zeros((2, 2, 3))}, ValueError, "A has shape"),
        ({"c_in": np.zeros(3)}, ValueError, "c_in has shape"),
        ({"registers_in": [3, 1]}, ValueError, "registers_in is"),
        ({"registers_out": [0, 1]}, ValueError, "registers_out is"),
        ({"draws": [0, 2]}, ValueError, "draws is"),
        ({"guidance": np.zeros(3)}, ValueError, "guidance has shape"),
        ({"clip": (1.0, -1.0)}, ValueError, "clip is"),
    ],
)
def test_bad_input(arguments, error, message):
    b = Bench(2, 1)
    given = {**b.table, "state": b.state, "input": b.input, "seeds": b.seeds, **arguments}
    with pytest.raises(error, match=message):
        bind(**given)


def test_input_inside_state_is_refused():
    b = Bench(2, 1)
    with pytest.raises(ValueError, match="overlaps"):
        bind(**b.table, state=b.state, input=b.state[1], seeds=b.seeds)


@pytest.mark.parametrize("arguments", [(1,), (1, 0, 0, 0, 0, 0), ("1", 0, 0, 0), (1, None, 0, 0)])
def test_advance_refuses_other_arguments(arguments):
    with pytest.raises(TypeError):
        Bench().program.advance(*arguments)


def run_battery(*arguments, target=""):
    environment = {**os.environ, "PYDIFFCORE_TARGET": target}
    return subprocess.run(
        [*PYTHON, str(Path(battery.__file__)), *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def digest():
    return battery.digest()


@pytest.mark.parametrize("target", native.info()["targets"])
def test_every_target_gives_the_same_bits(target, digest):
    result = run_battery(target=target)
    if result.returncode and "cannot run on this machine" in result.stderr:
        pytest.skip(f"this machine has no {target}")
    assert result.stdout.split() == [target, digest], result.stderr


@pytest.mark.parametrize("threads", ["1", "2"])
def test_flush_to_zero_and_threads_change_no_bit(threads, digest):
    result = run_battery(threads, "flush")
    if "cannot flush" in result.stderr:
        pytest.skip("this machine cannot flush subnormals to zero")
    assert result.stdout.split()[1:] == [digest], result.stderr


def test_an_unknown_target_is_an_error():
    result = run_battery(target="mmx")
    assert result.returncode == 1
    assert "PYDIFFCORE_TARGET names an instruction set" in result.stderr


FORK = """
import os, signal, sys, numpy as np, torch
from pydiffcore.ops import native
torch.set_num_threads(2)
def noise():
    out = torch.empty(64, 12288)
    native.normal(out, np.arange(64, dtype=np.uint64), 1, 0)
threads = native.info()["threads"]
if sys.argv[1] == "torch":
    torch.ones(1 << 22).add_(1)
else:
    noise()
child = os.fork()
if child == 0:
    signal.alarm(50)  # no orphan waits forever
    noise()
    os._exit(0 if native.info()["threads"] == 1 else 3)
_, status = os.waitpid(child, 0)
assert threads == 2, threads
noise()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("region", ["torch", "ours"])
def test_fork_after_a_parallel_run_computes_on_one_thread(region):
    result = subprocess.run([*PYTHON, "-c", FORK, region], timeout=60, check=False)
    assert result.returncode == 0


def test_info_names_torch_s_own_openmp():
    info = native.info()
    assert info["target"] in info["targets"]
    assert info["threads"] == torch.get_num_threads()
    assert "gomp" in info["openmp"]
    assert Path(info["library"]).is_file()
    beside_torch = Path(torch.__file__).parents[1]
    assert Path(info["openmp"]).resolve().is_relative_to(beside_torch.resolve())
    assert "torch" in info["openmp"]  # other packages there bring a libgomp of their own
