# SPDX-License-Identifier: Apache-2.0
"""A fused row against the best of three hand-written eager forms: plain, in place, foreach.

The coefficients of the eager forms are folded and precomputed as ours are; they check nothing.
Median ratios of interleaved rounds within one run.
"""

import torch

from benchmarks import steps
from benchmarks.claims.claim import Figure, main
from benchmarks.interleaved import ratios, seconds

FORMS = {
    "plain": steps.eager_plain,
    "in place": steps.eager_in_place,
    "foreach": steps.eager_foreach,
}


def measure():
    every = torch.get_num_threads()
    for threads in sorted({1, every}):
        torch.set_num_threads(threads)
        for size in steps.SIZES:
            n = steps.steps_for(size)
            for method in steps.METHODS:
                loops = {"ours": steps.ours(method, size, n)}
                loops |= {name: make(method, size, n) for name, make in FORMS.items()}
                r = ratios(seconds(loops, budget=4.0), "ours")
                best = min(FORMS, key=r.__getitem__)
                yield Figure(
                    f"{method}, {steps.text(size)}, {threads} thread{'s'[: threads > 1]}",
                    r[best],
                    ">= 4",
                    "×",
                    f"best form: {best}",
                )


if __name__ == "__main__":
    main(measure)
