# SPDX-License-Identifier: Apache-2.0
"""Host cost of ``runner.advance(F)`` with all its checks on 1×4×8×8, one thread.

The figure is the whole call: checks, binding, kernel on 256 elements; the median of interleaved
rounds of 2,000 calls, each on another F than the last.
"""

import statistics

import torch

from benchmarks import steps
from benchmarks.claims.claim import Figure, main
from benchmarks.interleaved import seconds

SIZE, N = (1, 4, 8, 8), 2000


def measure():
    torch.set_num_threads(1)
    loops = {method: steps.ours(method, SIZE, N) for method in steps.METHODS}
    for method, times in seconds(loops, repeats=15).items():
        yield Figure(f"advance, {method}", statistics.median(times) / N * 1e6, "<= 1", "µs")


if __name__ == "__main__":
    main(measure)
