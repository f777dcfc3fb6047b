# SPDX-License-Identifier: Apache-2.0
"""Many tiny samples cost per element at most twice the large-size rate, noise included.

Stochastic rows (Euler ancestral) on batches of samples of 16×7 and of 2 elements, against
64×3×32×32 of nearly as many elements, so that all of them lie in cache alike.
"""

import statistics

import numpy as np
import torch

from benchmarks import steps
from benchmarks.claims.claim import Figure, main
from benchmarks.interleaved import seconds

LARGE = (64, 3, 32, 32)
TINY = [(1755, 16, 7), (98304, 2)]
N = 50


def measure():
    every = torch.get_num_threads()
    for threads in sorted({1, every}):
        torch.set_num_threads(threads)
        for method in ("ancestral", "euler"):
            loops = {size: steps.ours(method, size, N) for size in [LARGE, *TINY]}
            taken = seconds({steps.text(size): loop for size, loop in loops.items()}, repeats=11)
            cost = {
                size: [t / (N * np.prod(size)) for t in taken[steps.text(size)]] for size in loops
            }
            for size in TINY:
                ratio = statistics.median(
                    t / large for t, large in zip(cost[size], cost[LARGE], strict=True)
                )
                yield Figure(
                    f"{method}, {steps.text(size)} over {steps.text(LARGE)}, {threads} threads",
                    ratio,
                    "<= 2",
                    "×",
                    f"{statistics.median(cost[size]) * 1e9:.3f} ns per element",
                )


if __name__ == "__main__":
    main(measure)
