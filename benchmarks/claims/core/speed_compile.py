# SPDX-License-Identifier: Apache-2.0
"""A fused row against ``torch.compile(fullgraph=True)`` of the step, coefficients as tensors.

Stochastic steps are compared with its faster setting, ``fallback_random=True``, in which it calls
torch's own generator; the default is published beside it.  Compile time is not counted.

Euler on 8×4×128×128 falls short of 2 because compiled code moves the same 16 bytes per element
and both wait for the shared cache.  Small stochastic rows (64×16×7, 8192×2) take 3 to 8 µs, of
which the second thread saves a third: compiled code runs them on one thread too.
"""

import torch._inductor.config as inductor

from benchmarks import steps
from benchmarks.claims.claim import Figure, main
from benchmarks.interleaved import ratios, seconds


def bar(method, threads):
    if method not in steps.STOCHASTIC:
        return ">= 2"
    return ">= 4" if threads == 1 else ">= 8"


def ratio(method, size, n, fallback):
    inductor.fallback_random = fallback
    loops = {"ours": steps.ours(method, size, n), "compiled": steps.compiled(method, size, n)}
    return ratios(seconds(loops, budget=1.5), "ours")["compiled"]


def measure():
    for what, method, size, n, threads in steps.every_case():
        found = {False: ratio(method, size, n, False)}
        note = ""
        if method in steps.STOCHASTIC:
            found[True] = ratio(method, size, n, True)
            note = f"default {found[False]:.1f}×, fallback_random {found[True]:.1f}×"
        yield Figure(what, min(found.values()), bar(method, threads), "×", note)


if __name__ == "__main__":
    main(measure)
