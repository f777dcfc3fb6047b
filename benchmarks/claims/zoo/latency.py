# SPDX-License-Identifier: Apache-2.0
"""An action policy at batch 1: from an observation to 16 actions of 7 numbers, end to end.

100-step DDPM and 10-step DDIM of a conditional 1-D U-Net (``benchmarks/policy.py``; random weights,
since the time does not depend on them), one thread, float32.  "diffusers" and "adapter" are the
same loop around diffusers' scheduler and around ours of the same name; "sample" is
``pydiffcore.sample`` with one plan for all runs.  Setting the timesteps and drawing the start are
part of a run.  The network, which no sampler can make faster, is most of a run, and its time
moves from run to run by more than what is left: so the bar is on the time outside of it, measured
in each run (``benchmarks/outside.py``), ours at most diffusers' own; the ratio of whole runs stands
beside it with its 95 % interval.  Interleaved runs.
"""

import statistics

import diffusers
import torch

import pydiffcore.adapters.diffusers as ours
from benchmarks import policy
from benchmarks.claims.claim import Figure, main
from benchmarks.outside import Watch, compared

NETWORKS = {"16 to 64 channels": (16, 32, 64), "128 to 512 channels": (128, 256, 512)}
RUNS = {("DDPM", 100): 60, ("DDIM", 10): 400}


def contenders(kind, n, network, observation):
    """One run in each way, by name."""
    theirs, mine = (
        getattr(library, f"{kind}Scheduler")(**policy.BETAS) for library in (diffusers, ours)
    )
    return {
        "diffusers": policy.scheduled(theirs, n, network, observation),
        "adapter": policy.scheduled(mine, n, network, observation),
        "sample": policy.fused(kind.lower(), n, network, observation),
    }


@torch.no_grad()
def measure():
    torch.set_num_threads(1)
    for size, widths in NETWORKS.items():
        network = policy.policy(widths)
        watch = Watch(network)
        observation = torch.randn(1, policy.OBSERVATION)
        for (kind, n), repeats in RUNS.items():
            repeats = repeats if widths[0] < 100 else repeats // 3
            runs = contenders(kind, n, network, observation)
            yield from compared(f"{n}-step {kind}, {size}", runs, watch, n, repeats, percentiles)


def percentiles(what, times):
    yield Figure(f"{what}: p50", statistics.median(times), "", "ms")
    yield Figure(
        f"{what}: p99", statistics.quantiles(times, n=100, method="inclusive")[98], "", "ms"
    )


if __name__ == "__main__":
    main(measure)
