# SPDX-License-Identifier: Apache-2.0
"""The judgement of float32 against float64: roundoff passes, an error from some starts does not."""

import parity
import pytest

CASE = parity.Case("HeunDiscreteScheduler", {"beta_schedule": "squaredcos_cap_v2"},
                   {"num_inference_steps": 20})  # fmt: skip


@pytest.fixture
def off(monkeypatch):
    """Return a function that makes our float32 steps wrong from some starts."""
    original = parity.apart

    def spoil(factor, seeds):
        def apart(case, theirs, seed):
            wide, second, _, peer = original(case, theirs, seed)
            return wide, second, peer * (factor if seed in seeds else 0.95), peer

        monkeypatch.setattr(parity, "apart", apart)

    return spoil


def judged():
    with parity.quiet():
        theirs = parity.made_theirs(CASE)
        return parity.judged(CASE, theirs, parity.Errors(1.0, 1.0, 0.0, 0.0))


@pytest.mark.parametrize("seeds", [(), range(1, 17, 2)])
def test_as_near_as_theirs_passes(off, seeds):
    off(1.1, seeds)
    found = judged()
    assert not found.farther
    assert found.near > 1e-5
    assert found.holds(1e-5)


@pytest.mark.parametrize(
    ("factor", "seeds"), [(1.2, range(1, 17)), (1e3, (1, 9)), (1e3, (1,)), (1e3, range(1, 17, 2))]
)
def test_farther_from_nearly_all_or_far_from_one_fails(off, factor, seeds):
    off(factor, seeds)
    found = judged()
    assert found.farther
    assert not found.holds(1e-5)
