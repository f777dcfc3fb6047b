# SPDX-License-Identifier: Apache-2.0
"""A register that only moves stays in its plane: the same results, and fewer bytes."""

from dataclasses import replace

import cases
import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import levels, samplers
from pydiffcore.ops.reference import ReferenceProgram
from pydiffcore.ops.rows import fold


def results(plan, copies):
    """The query after each row, on given outputs and noise; planes begin as NaN."""
    rng = np.random.default_rng(0)
    F = torch.from_numpy(rng.normal(size=(plan.nfe + 1, 1, 5)))
    z = torch.from_numpy(rng.normal(size=(plan.nfe + 1, max(plan.S.shape[2], 1), 1, 5)))
    state = [torch.ones(1, 5, dtype=torch.float64)]
    state += [torch.full((1, 5), float("nan"), dtype=torch.float64)] * (plan.registers - 1)
    rows = fold(plan, unit_noise=False, copies=copies)
    program = ReferenceProgram(rows, [0], (5,), state)
    after = []
    for row in range(plan.nfe + 1):
        program.advance(row, F[row] if row else None, z[row])
        after.append(program.registers[0])
    return torch.stack(after)


@pytest.mark.parametrize("case", cases.CASES, ids=str)
def test_results_are_those_of_copies(case):
    plan = pydiffcore.trace(case.sampler, case.levels(9), **case.options)
    moved, copied = results(plan, copies=False), results(plan, copies=True)
    assert torch.isfinite(copied).all()
    assert torch.equal(moved, copied)


@pytest.mark.parametrize(
    ("sampler", "options", "registers"),
    [
        (samplers.dpmpp_2m, {}, 4),  # x and D: both are new
        (samplers.dpmpp_3m, {}, 5),  # three are read, x and D are written
        (samplers.ab_velocity, {"order": 4}, 6),
        (samplers.heun, {}, 3),
    ],
)
def test_registers_that_a_row_moves(sampler, options, registers):
    plan = pydiffcore.trace(sampler, levels.karras(20), **options)
    assert plan.bytes_per_row(4, 4)[10] == 4 * registers + 8
    for before, after in zip(plan.planes.before[1:], plan.planes.after[:-1], strict=True):
        assert sorted(after) == list(range(len(after)))
        assert (before == after).all()


def test_of_two_copies_of_one_register_the_second_is_written():
    plan = pydiffcore.trace(samplers.dpmpp_3m, levels.karras(9))
    A, B = plan.A.copy(), plan.B.copy()
    A[4, 1:], B[4, 1:] = [0.0, 1.0, 0.0], 0.0
    both = replace(plan, A=A, B=B)
    assert both.planes.writes[4].tolist() == [True, False, True]
    assert torch.equal(results(both, copies=False), results(both, copies=True))


def test_a_register_that_is_not_there_is_not_moved():
    plan = pydiffcore.trace(samplers.dpmpp_3m, levels.karras(9))
    A, B = plan.A.copy(), plan.B.copy()
    A[1, 1], B[1, 1] = [0.0, 0.0, 1.0], 0.0
    odd = replace(plan, A=A, B=B)
    assert plan.registers_in[1] < 3
    assert odd.planes.writes[1, 1]
    assert torch.equal(results(odd, copies=False), results(odd, copies=True))
