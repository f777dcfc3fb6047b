# SPDX-License-Identifier: Apache-2.0
"""Rows of a program: equal to NumPy's arithmetic to the bit."""

import native_battery as battery
import numpy as np
import pytest
import torch
from row_bench import IO_DTYPES, TORCH, Bench

from pydiffcore.ops.noise import reference_normal
from pydiffcore.ops.program import bind


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
