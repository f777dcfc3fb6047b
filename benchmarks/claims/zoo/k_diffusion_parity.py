# SPDX-License-Identifier: Apache-2.0
"""k-diffusion's samplers beside ours in float64: results and callbacks, relative to their size.

Every sampler × its options × lists of levels (karras, exponential, polyexponential, vp, and slices
of a list that begin below its top or do not end in 0) × 1, 2, 3, 5 and 30 steps, on a function
D(x, sigma); and every sampler × its options on each of k-diffusion's wrappers.  Noise is the same
function of the two levels that it is asked for, or torch's generator for churn.

python -m benchmarks.claims.zoo.k_diffusion_parity [SAMPLER ...]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import torch

from benchmarks.claims.claim import Figure, main

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))
from k_diffusion_parity import OPTIONS, available, cases, compare

BAR = 1e-8


def measure(names: list[str] | None = None) -> Iterator[Figure]:
    torch.set_num_threads(1)
    version = metadata.version("k-diffusion")
    print(f"models: {', '.join(available())}", flush=True)
    for name in names or OPTIONS:
        count = crashed = 0
        worst = called = 0.0
        missed = []
        for case in cases(name):
            if case.crashes():
                crashed += 1
                continue
            errors = compare(case)
            count += 1
            worst, called = max(worst, errors.result), max(called, errors.callbacks)
            if max(errors.result, errors.callbacks) > BAR:
                missed.append((case, errors))
        for case, errors in missed[:6]:
            print(
                f"       {case}: {errors.result:.2g}, callbacks {errors.callbacks:.2g}", flush=True
            )
        note = f"k-diffusion raises in {crashed} more: one step, to 0" if crashed else ""
        what = f"sample_{name}: largest difference from k-diffusion {version}"
        yield Figure(f"{what}, {count} runs", worst, f"<= {BAR}", note=note)
        yield Figure(f"sample_{name}: the same for its callbacks", called, f"<= {BAR}")


if __name__ == "__main__":
    main(lambda: measure(sys.argv[1:]))
