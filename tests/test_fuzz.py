# SPDX-License-Identifier: Apache-2.0
"""A small share of the random runs; ``python -m benchmarks.claims.zoo.fuzz`` makes ten thousand."""

import pytest
from fuzzing import outcome, runs
from hypothesis import HealthCheck, given, settings


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # overflow of plans that diverge
@settings(
    max_examples=200, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(runs())
def test_random_runs(run):
    what, ratio, _ = outcome(run)
    assert ratio <= 1, f"{run}: {what} error is {ratio} of what it may be"
