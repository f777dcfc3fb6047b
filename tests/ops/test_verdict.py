# SPDX-License-Identifier: Apache-2.0
"""What a finished run is told to have met, and how often the host waits to learn it."""

import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import Runner, levels, samplers
from pydiffcore.ops import cuda, runner
from pydiffcore.ops.program import bind
from pydiffcore.ops.verdict import verdict

PLAN = pydiffcore.trace(samplers.dpmpp_2m, levels.karras(4))


@pytest.fixture
def on_device(monkeypatch):
    """Rows of a CUDA program, in the host loop: they report at the end alone."""
    monkeypatch.setattr(runner, "bind", lambda **table: bind(**table, host_loop=(2, 64)))


def run(outputs):
    made = Runner(PLAN, (3,), [5, 6])
    made.start()
    for value in outputs:
        made.advance(torch.tensor([[0.1, 0.2, 0.3], [0.1, value, 0.3]]))
    return made


def test_flags_and_result_come_with_one_wait(on_device, monkeypatch):
    waits, fetch = [], cuda.fetch
    monkeypatch.setattr(cuda, "fetch", lambda *each: waits.append(len(each)) or fetch(*each))
    made = run([0.0, 0.1, 0.2, 0.3])
    made.check()
    assert waits == [2]


def test_the_first_output_that_was_not_finite_comes_before_the_result(on_device):
    with pytest.raises(FloatingPointError, match=r"call 1 .*sample 1 of 2 \(seed 6\)"):
        run([0.0, torch.nan, 0.0, torch.inf]).check()


def test_a_result_that_is_not_finite_of_outputs_that_were(on_device):
    made = run([0.0, 0.1, 0.2, 0.3])
    made.query[1, 1] = torch.inf
    with pytest.raises(FloatingPointError, match="the result is not finite"):
        made.check()


def test_finite_values_whose_sum_is_not():
    assert verdict(None, torch.full((2, 3), 3e38)) == (None, True)
    assert verdict(None, torch.tensor([np.inf, -np.inf])) == (None, False)


def test_a_program_without_a_block_has_no_flags():
    made = Runner(PLAN, (3,), [5, 6])
    made.start()
    assert made._program.block is None
    assert verdict(made._program, made.query) == (None, True)
    assert made._program.status() is None
