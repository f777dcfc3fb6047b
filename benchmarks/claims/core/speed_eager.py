# SPDX-License-Identifier: Apache-2.0
"""A fused row against the best of three hand-written eager forms: plain, in place, foreach.

The coefficients of the eager forms are folded and precomputed as ours are; they check nothing.
Median ratios of interleaved rounds within one run.
"""

from benchmarks import steps
from benchmarks.claims.claim import Figure, main
from benchmarks.interleaved import ratios, seconds

FORMS = {
    "plain": steps.eager_plain,
    "in place": steps.eager_in_place,
    "foreach": steps.eager_foreach,
}


def measure():
    for what, method, size, n, _ in steps.every_case():
        loops = {"ours": steps.ours(method, size, n)}
        loops |= {name: make(method, size, n) for name, make in FORMS.items()}
        r = ratios(seconds(loops, budget=2.0), "ours")
        best = min(FORMS, key=r.__getitem__)
        yield Figure(what, r[best], ">= 4", "×", f"best form: {best}")


if __name__ == "__main__":
    main(measure)
