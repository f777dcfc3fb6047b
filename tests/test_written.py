# SPDX-License-Identifier: Apache-2.0
"""Rows that the benchmarks write out in torch do the work of the rows that they stand beside."""

import sys
from pathlib import Path

import pytest
import torch

import pydiffcore

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import steps, written, zoo_steps

SIZE = (2, 3, 8)
PLANS = {name: steps.plan_of for name in steps.METHODS} | {
    name: zoo_steps.plan_of for name in zoo_steps.METHODS
}


def by_hand(form, plan, given):
    first = int(plan.registers_out[0])
    buffers = [torch.zeros(SIZE) for _ in range(2 * plan.registers)]
    r, s = tuple(buffers[:first]), tuple(buffers[first:])
    z, out = [torch.zeros(SIZE) for _ in range(max(plan.S.shape[2], 1))], torch.zeros(SIZE)
    torch.manual_seed(0)
    for i, (row, c) in enumerate(written.functions(form, plan)):
        r, s, _ = row(r, s, given[i & 3], z, out, c)
    return r[0]


@pytest.mark.parametrize("form", written.FORMS)
@pytest.mark.parametrize("method", PLANS)
def test_written_rows(method, form):
    plan, given = PLANS[method](method, 12), steps.outputs(SIZE)
    runner = pydiffcore.Runner(
        plan, SIZE[1:], range(SIZE[0]), noise=torch.Generator().manual_seed(0)
    )
    runner.start(torch.zeros(SIZE))
    for i in range(plan.nfe):
        result = runner.advance(given[i & 3])
    torch.testing.assert_close(by_hand(form, plan, given), result, rtol=1e-5, atol=1e-5)
