# SPDX-License-Identifier: Apache-2.0
"""A fused row against the matching scheduler's ``step`` in diffusers, float32, equal work or less.

Ours makes the next network input too.  Theirs is ``step`` alone, which is what the bars are on;
with ``scale_model_input``, as pipelines call it, it is published beside it.  Median ratios of
interleaved rounds within one run; both get the same network outputs.

Where DPM-Solver++(2M) falls short of 10 its state lies in the second- and third-level cache and the
row waits for it: ``row_cost`` measures its 20 bytes per element at 1.5 times the speed of one
``torch.add`` of the same tensors, about 160 GB/s a core.
"""

from benchmarks import steps
from benchmarks.claims.claim import Figure, main
from benchmarks.interleaved import ratios, seconds
from pydiffcore.ops import native


def bar(method, size, threads):
    if size == steps.SIZES[0]:
        return ">= 40" if method.startswith("dpmpp") else ">= 20"
    if method == "dpmpp_2m":
        return ">= 10"
    if method in steps.STOCHASTIC:
        if native.target() != "avx512":
            return ">= 3"
        return ">= 6" if threads == 1 else ">= 9"
    return ""


def measure():
    for what, method, size, n, threads in steps.every_case():
        loops = {
            "ours": steps.ours(method, size, n),
            "step": steps.diffusers_loop(method, size, n, scale_input=False),
            "pipeline": steps.diffusers_loop(method, size, n, scale_input=True),
        }
        r = ratios(seconds(loops, budget=2.0), "ours")
        note = f"{r['pipeline']:.1f}× with scale_model_input"
        yield Figure(what, r["step"], bar(method, size, threads), "×", note)


if __name__ == "__main__":
    main(measure)
