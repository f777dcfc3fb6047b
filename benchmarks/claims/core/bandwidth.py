# SPDX-License-Identifier: Apache-2.0
"""Rows against a copy of the same total bytes, and nanoseconds per element in cache.

Beyond the last-level cache a row of k registers moves registers in and out, F, and the next input;
the copy moves as many bytes, half read and half written (``torch.Tensor.copy_``, both with all
threads).  In cache the nanoseconds per element of a row stand beside those of the fastest stream
measured there, a torch addition of two tensors into a third.
"""

import statistics

import numpy as np
import torch

from benchmarks import steps
from benchmarks.claims.claim import Figure, main
from benchmarks.interleaved import seconds

LARGE, CACHED, N = (64, 3, 256, 256), (16, 4, 64, 64), 20
MOVED = {"euler": 4, "dpmpp_2m": 5}  # floats per element: registers in and out, F, copied input


def measure():
    every = torch.get_num_threads()
    for threads in sorted({1, every}):
        torch.set_num_threads(threads)
        yield from beyond_cache(threads)
        yield from in_cache(threads)


def beyond_cache(threads):
    elements = int(np.prod(LARGE))
    for method, floats in MOVED.items():
        source = torch.zeros(elements * floats // 2)
        target = torch.zeros_like(source)

        def copy(source=source, target=target):
            for _ in range(N):
                target.copy_(source)

        taken = seconds({"row": steps.ours(method, LARGE, N), "copy": copy}, repeats=9)
        share = statistics.median(c / r for c, r in zip(taken["copy"], taken["row"], strict=True))
        rate = elements * floats * 4 * N / statistics.median(taken["row"]) / 1e9
        yield Figure(
            f"{method}, {steps.text(LARGE)}, {threads} threads: share of a copy's bandwidth",
            100 * share,
            ">= 90",
            "%",
            f"{rate:.1f} GB/s, the start of the run not counted",
        )


def in_cache(threads):
    elements, n = int(np.prod(CACHED)), 100
    a, b, c = (torch.zeros(elements) for _ in range(3))

    def stream():
        for _ in range(n):
            torch.add(a, b, out=c)

    loops = {method: steps.ours(method, CACHED, n) for method in steps.METHODS}
    taken = seconds({**loops, "stream": stream}, repeats=9)
    best = statistics.median(taken["stream"]) / (n * elements) * 1e9
    for method in steps.METHODS:
        yield Figure(
            f"{method}, {steps.text(CACHED)} in cache, {threads} threads",
            statistics.median(taken[method]) / (n * elements) * 1e9,
            unit="ns per element",
            note=f"torch.add of three tensors: {best:.3f} ns per element",
        )


if __name__ == "__main__":
    main(measure)
