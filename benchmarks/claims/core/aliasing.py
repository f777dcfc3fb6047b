# SPDX-License-Identifier: Apache-2.0
"""Aliased memory, fork() and gradients neither crash nor change a result.

Each figure is a group of tests, run here: an identity network that returns its own input buffer,
outputs that are views of the input or lie across the registers, a network that recycles one output
buffer for the conditional and the unconditional call, fork() after a parallel run, and outputs that
require a gradient. The bar is that none fails; the count of those that passed stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.claims import pytests
from benchmarks.claims.claim import Figure, main

OPS = Path(__file__).parents[3] / "tests" / "ops"
RUNNER, NATIVE = OPS / "test_runner.py", OPS / "test_native.py"
PROGRAM = OPS / "test_program_misuse.py"

GROUPS = {
    "identity network, own input returned": [
        (RUNNER, "test_identity_network_that_returns_its_own_input"),
        (PROGRAM, "test_the_network_may_return_its_input_buffer"),
    ],
    "views of the input, outputs across the registers": [
        (RUNNER, "test_output_that_is_a_view_of_the_input"),
        (RUNNER, "test_output_that_overlaps_the_registers"),
        (RUNNER, "test_channels_last_and_strided_inputs_work"),
        (PROGRAM, "test_partial_overlap_is_refused"),
        (PROGRAM, "test_operands_beside_the_state_are_accepted"),
        (PROGRAM, "test_input_inside_state_is_refused"),
    ],
    "one output buffer for both guided calls": [
        (RUNNER, "test_recycled_output_buffer_between_the_two_guided_calls"),
    ],
    "fork() after a parallel run": [
        (RUNNER, "test_fork_after_a_parallel_run"),
        (NATIVE, "test_fork_after_a_parallel_run_computes_on_one_thread"),
    ],
    "F requires a gradient": [
        (RUNNER, "test_gradients_flow_through_the_rows"),
        (RUNNER, "test_gradient_of_the_initial_state"),
        (RUNNER, "test_no_graph_is_recorded_without_grad"),
    ],
}


def measure() -> Iterator[Figure]:
    """Run the groups one by one."""
    for what, tests in GROUPS.items():
        outcome = pytests.run([f"{file}::{name}" for file, name in tests])
        yield Figure(f"{what}: tests that do not pass", len(outcome.bad), "<= 0",
                     note=outcome.note)  # fmt: skip


if __name__ == "__main__":
    main(measure)
