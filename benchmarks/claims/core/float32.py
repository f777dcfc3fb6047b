# SPDX-License-Identifier: Apache-2.0
"""Float32 error of fused runs against float64, beside that of the direct float32 run.

Gaussian data with its exact denoiser, 512 samples, root mean squares relative to the result's.
Up to n = 50 and σ = 80 the error has a bar of its own; at n = 1000, and up to σ = 10⁴, it may be
5 times the direct float32 run's.

pf_heun on VP with 2 levels falls short: its one long step multiplies the rounding of the float32
query that the network is given, as it does in the direct run.
"""

import torch

import pydiffcore
from benchmarks.claims.claim import Figure, main
from benchmarks.claims.core.cases import CASES, GAUSSIAN
from pydiffcore import samplers


def errors(case, n, sigma_max):
    """Root mean square errors of the fused and of the direct float32 run."""
    sigmas = case.levels(n, sigma_max)
    plan = pydiffcore.trace(case.sampler, sigmas, **case.options)
    kw = {"shape": (3,), "seeds": range(512)}
    exact = pydiffcore.direct(case.sampler, GAUSSIAN, sigmas, **kw, **case.options)
    fused = pydiffcore.sample(GAUSSIAN, plan, **kw)
    direct = pydiffcore.direct(
        case.sampler, GAUSSIAN, sigmas, dtype=torch.float32, **kw, **case.options
    )
    size = exact.square().mean().sqrt()
    return [float((x.double() - exact).square().mean().sqrt() / size) for x in (fused, direct)]


def measure():
    for case in CASES:
        if case.sampler is samplers.langevin:
            sizes = [(10, 80.0)]  # its steps are sized for a last level near its own
        else:
            sizes = [(1, 80.0), (2, 80.0), (5, 80.0), (18, 80.0), (50, 80.0)]
        fused, direct, n = max((*errors(case, *size), size[0]) for size in sizes)
        note = f"at n = {n}, where the direct float32 run's is {direct:.1e}"
        yield Figure(f"{case.id}, n ≤ 50, σ ≤ 80", fused, "<= 1e-5", note=note)
    for case in CASES:
        if case.sampler is samplers.langevin:
            continue
        for n, sigma_max in ((100, 1e4), (1000, 80.0), (1000, 1e4)):
            fused, direct = errors(case, n, sigma_max)
            yield Figure(
                f"{case.id}, n = {n}, σ ≤ {sigma_max:g}: over the direct float32 run's",
                fused / direct,
                "<= 5",
                "×",
                f"{fused:.1e} against {direct:.1e}",
            )


if __name__ == "__main__":
    main(measure)
