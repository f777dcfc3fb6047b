# SPDX-License-Identifier: Apache-2.0
"""Samples of more than 2³¹ elements: every index is 64 bits wide."""

import os

import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import levels, samplers
from pydiffcore.ops import native
from pydiffcore.ops.noise import SAMPLER, reference_normal
from pydiffcore.ops.runner import Runner

SIZE, TAIL, SEED = 2**31 + 9, 1001, 11
REASON = native.unsupported("cuda") or (
    "" if torch.cuda.is_available() else "this torch sees no CUDA device"
)


def memory():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


@pytest.fixture(
    params=[
        pytest.param("cpu", marks=[
            pytest.mark.slow, pytest.mark.skipif(memory() < 20, reason="needs 16 GiB of memory"),
        ]),
        pytest.param("cuda", marks=[
            pytest.mark.gpu, pytest.mark.skipif(bool(REASON), reason=REASON or "no device"),
        ]),
    ]
)  # fmt: skip
def device(request):
    if request.param == "cuda" and torch.cuda.mem_get_info()[0] < 2**35:
        pytest.skip("needs 32 GiB of free device memory")
    return request.param


def test_normals_beyond_two_to_the_31(device):
    out = torch.empty(1, SIZE, dtype=torch.bfloat16, device=device)
    native.normal(out, np.array([SEED], np.uint64), SAMPLER, 3)
    for first in (0, 2**31 - TAIL, SIZE - TAIL):
        z = reference_normal([SEED], TAIL, purpose=SAMPLER, stream=3, first=first)
        expected = torch.from_numpy(z).bfloat16()
        assert torch.equal(out[:, first : first + TAIL].cpu(), expected)


def test_rows_beyond_two_to_the_31(device):
    plan = pydiffcore.trace(samplers.ancestral, levels.karras(2))
    runner = Runner(plan, (SIZE,), [SEED], io_dtype=torch.bfloat16, device=device)
    state = runner.start()
    assert state.shape == (1, SIZE)
    kept = {
        first: runner.query[:, first : first + TAIL].cpu().clone() for first in (0, SIZE - TAIL)
    }
    runner.advance(state)  # F in the input's own memory
    for first, x in kept.items():
        z = reference_normal([SEED], TAIL, purpose=SAMPLER, stream=0, first=first)
        A, B, S = plan.A[1, 0, 0], plan.B[1, 0], plan.S[1, 0, 0]
        expected = A * x + B * x.bfloat16().float() + S * torch.from_numpy(z)
        found = runner.query[:, first : first + TAIL].cpu()
        assert torch.allclose(found, expected.float(), rtol=1e-5, atol=1e-3)
