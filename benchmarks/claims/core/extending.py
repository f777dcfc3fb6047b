# SPDX-License-Identifier: Apache-2.0
"""A sampler of one's own is one function of at most fifteen lines, on one page.

The Python blocks of docs/extending.md are executed in the page's order. Ralston's method is written
there, traced, run fused in float64 and compared with its direct run, and its order is fitted on a
Gaussian with n = 20 … 320 steps. The page's test then checks everything else that the page shows.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.claims import pytests
from benchmarks.claims.claim import Figure, main

TESTS = Path(__file__).parents[3] / "tests"


def measure() -> Iterator[Figure]:
    """Execute the page and its test."""
    sys.path.insert(0, str(TESTS))
    from test_extending import blocks, run_page

    names, _ = run_page()
    source = inspect.getsource(names["ralston"])
    yield Figure("lines of the sampler, docstring included", len(source.splitlines()), "<= 15")
    order = names["order"]
    yield Figure("order of convergence, distance from 2", abs(order - 2), "<= 0.15",
                 note=f"fitted {order:.3f}")  # fmt: skip
    yield Figure("fused against direct, float64, 18 steps, relative", names["difference"],
                 "<= 1e-10")  # fmt: skip
    outcome = pytests.run([str(TESTS / "test_extending.py")])
    yield Figure("tests of the page that do not pass", len(outcome.bad), "<= 0", note=outcome.note)
    code = sum(len(text.splitlines()) for _, text in blocks("python"))
    yield Figure("lines of Python on the page", code,
                 note="sampler, process, levels, prediction, guided denoiser")  # fmt: skip


if __name__ == "__main__":
    main(measure)
