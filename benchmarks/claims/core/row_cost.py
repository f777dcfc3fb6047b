# SPDX-License-Identifier: Apache-2.0
"""Where the time of a row goes: host, elements, noise, memory; why some rows fall short.

One thread.  "host" and "element" are the intercept and the slope of time against size from 256 to
16,384 elements, beside those of the in-place eager form: their ratio is what size tends to, so a
row that is short of a bar at 16,384 elements is short because its host cost no longer counts.  A
sample of two elements uses two of the four normals of a Philox block, one of 1,024 uses them all.
In cache, time per byte is given beside that of ``torch.add(a, b, out=c)`` on tensors of the same
size: a row at or below it waits for the cache, and no arithmetic in it can make it faster.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks import steps
from benchmarks.claims.claim import Figure, main

N = 100
IN_CACHE = [(64, 3, 32, 32), (16, 4, 64, 64), (8, 4, 128, 128)]
BYTES = {"euler": 16, "dpmpp_2m": 20}


def microseconds(loop: Callable[[], None], n: int = N) -> float:
    """Median time of one of the loop's n steps."""
    loop()
    taken = []
    for _ in range(15):
        started = time.perf_counter()
        loop()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) / n * 1e6


def line(make: Callable, method: str, width: int) -> tuple[float, float]:
    """Intercept in µs and slope in ns per element, over samples of `width` elements."""
    sizes = [256, 1024, 4096, 8192, 16384]
    taken = [microseconds(make(method, (max(n // width, 1), width), N)) for n in sizes]
    slope, intercept = np.polyfit(sizes, taken, 1, w=1 / np.asarray(taken))
    return intercept, slope * 1e3


def additions(size: tuple[int, ...]) -> Callable[[], None]:
    """A loop of N sums into a third tensor: 12 bytes per element, one pass, nothing else."""
    a, b, c = (torch.zeros(size) for _ in range(3))

    def loop() -> None:
        for _ in range(N):
            torch.add(a, b, out=c)

    return loop


def measure():
    torch.set_num_threads(1)
    for method in steps.METHODS:
        for width in (2, 1024):
            for who, make in (("ours", steps.ours), ("eager", steps.eager_in_place)):
                host, element = line(make, method, width)
                what = f"{method}, samples of {width}, {who}"
                yield Figure(f"{what}: host", host, "", "µs")
                yield Figure(f"{what}: element", element, "", "ns")
    for size in IN_CACHE:
        elements = int(np.prod(size))
        sums = microseconds(additions(size)) * 1e3 / elements / 12
        yield Figure(f"torch.add, {steps.text(size)}", sums, "", "ns/byte")
        for method, moved in BYTES.items():
            ours = microseconds(steps.ours(method, size, N)) * 1e3 / elements / moved
            note = f"{sums / ours:.2f} times the speed of torch.add"
            yield Figure(f"{method}, {steps.text(size)}", ours, "", "ns/byte", note)


if __name__ == "__main__":
    main(measure)
