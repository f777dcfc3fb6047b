# SPDX-License-Identifier: Apache-2.0
"""A program and memory that is shared, outputs that are not finite, arguments that do not fit."""

import numpy as np
import pytest
import torch
from row_bench import IO_DTYPES, Bench

from pydiffcore.ops.program import bind


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
        ({"source": [[1, 0], [0, 1]]}, ValueError, "source is"),
        ({"source": [[0, 1], [0, 2]]}, ValueError, "source is"),
        ({"registers_in": [0, 0], "source": [[1, 0], [0, 1]]}, ValueError, "source is"),
        ({"source": [[0, 0], [0, 1]]}, ValueError, "source is"),
        ({"target": [[0, 1], [0, 0]]}, ValueError, "target is"),
        ({"target": [[0, 1], [0, -1]]}, ValueError, "target is"),
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
