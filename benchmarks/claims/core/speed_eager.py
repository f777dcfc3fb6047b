# SPDX-License-Identifier: Apache-2.0
"""A fused row against the best of three hand-written eager forms: plain, in place, foreach.

The coefficients of the eager forms are folded and precomputed as ours are; they check nothing and
swap buffers where they can.  Median ratios of interleaved rounds within one run.  The note gives
the bytes per element that the in-place form moves over those that the row moves: where both wait
for memory that is all there is to gain, and it is below 4 for rows without noise.

8192×2 is where it turns: by ``row_cost`` the eager forms pay 4.7 to 9 µs of dispatch per step and
ours 0.6 to 0.8, which decides small sizes, but per element in first-level cache the ratio is only
about 1.8 (Euler), 2.6 (2M) and 3.7 (stochastic): a sample of two elements uses two of the four
normals of its Philox block, where larger samples use all and reach 5.3.
"""

from benchmarks import steps
from benchmarks.claims.claim import Figure, main
from benchmarks.interleaved import ratios, seconds

# mul_ 8, add_ 12, mul(out=) 8, normal_ 4; a row: registers in and out, F, the input if copied.
TRAFFIC = {
    "euler": "28 bytes over 16",
    "ancestral": "44 bytes over 16, and the noise",
    "dpmpp_2m": "52 bytes over 20",
    "dpmpp_2m_sde": "68 bytes over 20, and the noise",
}
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
        note = f"best form: {best}; {TRAFFIC[method]}"
        yield Figure(what, r[best], ">= 4", "×", note)


if __name__ == "__main__":
    main(measure)
