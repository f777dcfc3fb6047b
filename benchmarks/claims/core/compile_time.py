# SPDX-License-Identifier: Apache-2.0
"""Tracing and compiling a 1000-step plan, with what a float32 runner derives from it."""

import time

import pydiffcore
from benchmarks.claims.claim import Figure, main
from benchmarks.claims.core.cases import CASES
from pydiffcore import prediction
from pydiffcore.ops.rows import fold


def measure():
    for case in CASES:
        sigmas, best, fold_best = case.levels(1000), [], []
        for _ in range(3):
            started = time.perf_counter()
            plan = pydiffcore.trace(case.sampler, sigmas, prediction.edm(), **case.options)
            best.append(time.perf_counter() - started)
            fold.__globals__["_fold"].cache_clear()
            started = time.perf_counter()
            fold(plan, unit_noise=True, single=True)
            fold_best.append(time.perf_counter() - started)
        yield Figure(
            f"{case.id}, {plan.nfe} calls",
            min(best),
            "< 0.5",
            "s",
            f"and {min(fold_best):.2f} s for the coefficients in float32",
        )


if __name__ == "__main__":
    main(measure)
