# SPDX-License-Identifier: Apache-2.0
"""A scheduler of either noise that threads share gives each what it gives alone, to the bit."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("diffusers", reason="diffusers is not installed")
pytest.importorskip("torchsde", reason="torchsde is not installed")
sys.path.insert(0, str(Path(__file__).parents[2]))
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Should have:UserWarning"),  # torchsde, of its last digit
]

import pydiffcore.adapters.diffusers as ours  # noqa: E402
from benchmarks.claims.zoo import threads  # noqa: E402


@pytest.mark.parametrize("noise", ["torch", "seeded"])
@pytest.mark.parametrize("name", threads.NAMES)
def test_eight_threads_share_a_scheduler(name, noise):
    assert threads.differing(name, ours, True, noise) == 0


@pytest.mark.parametrize("name", [name for name, _ in threads.STOCHASTIC])
def test_a_generator_per_sample_costs_no_launch(name):
    config = dict(threads.STOCHASTIC)[name]
    one, many = (threads.launches(name, ours, batch, "seeded", config) for batch in (1, 8))
    assert one == many == 3  # the state copied in, the row, the result copied out
    assert threads.launches(name, ours, 8, config=config) == 12  # a draw each, stacked
