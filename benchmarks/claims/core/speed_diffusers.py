# SPDX-License-Identifier: Apache-2.0
"""A fused row against the matching scheduler's ``step`` in diffusers, float32, equal work or less.

Ours makes the next network input too.  Theirs is ``step`` alone, which is what the bars are on;
with ``scale_model_input``, as pipelines call it, it is published beside it.  Median ratios of
interleaved rounds within one run; both get the same network outputs.
"""

import torch

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
    every = torch.get_num_threads()
    for threads in sorted({1, every}):
        torch.set_num_threads(threads)
        for size in steps.SIZES:
            n = steps.steps_for(size)
            for method in steps.METHODS:
                taken = seconds(
                    {
                        "ours": steps.ours(method, size, n),
                        "step": steps.diffusers_loop(method, size, n, scale_input=False),
                        "pipeline": steps.diffusers_loop(method, size, n, scale_input=True),
                    },
                    budget=4.0,
                )
                r = ratios(taken, "ours")
                yield Figure(
                    f"{method}, {steps.text(size)}, {threads} thread{'s'[: threads > 1]}",
                    r["step"],
                    bar(method, size, threads),
                    "×",
                    f"{r['pipeline']:.1f}× with scale_model_input",
                )


if __name__ == "__main__":
    main(measure)
