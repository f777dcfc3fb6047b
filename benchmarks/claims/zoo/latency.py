# SPDX-License-Identifier: Apache-2.0
"""An action policy at batch 1: from an observation to 16 actions of 7 numbers, end to end.

100-step DDPM and 10-step DDIM of a conditional 1-D U-Net (``benchmarks/policy.py``; random weights,
since the time does not depend on them), one thread, float32.  "diffusers" and "adapter" are the
same loop around diffusers' scheduler and around ours of the same name; "sample" is
``pydiffcore.sample`` with one plan for all runs.  Setting the timesteps and drawing the start are
part of a run.  "network" is its calls alone, which no sampler can make faster: the bar is on p50,
ours at most diffusers' own.  Interleaved runs; the share of time outside the network is the note.
"""

import statistics
import time

import diffusers
import torch

import pydiffcore.adapters.diffusers as ours
from benchmarks import policy
from benchmarks.claims.claim import Figure, main

NETWORKS = {"16 to 64 channels": (16, 32, 64), "128 to 512 channels": (128, 256, 512)}
RUNS = {("DDPM", 100): 60, ("DDIM", 10): 400}


def contenders(kind, n, network, observation):
    """One run in each way, by name."""
    x, t = torch.randn(len(observation), policy.HORIZON, policy.ACTION), torch.tensor(5)

    def calls():
        for _ in range(n):
            network(x, t, observation)

    theirs, mine = (
        getattr(library, f"{kind}Scheduler")(**policy.BETAS) for library in (diffusers, ours)
    )
    return {
        "network": calls,
        "diffusers": policy.scheduled(theirs, n, network, observation),
        "adapter": policy.scheduled(mine, n, network, observation),
        "sample": policy.fused(kind.lower(), n, network, observation),
    }


def milliseconds(runs, repeats):
    taken = {name: [] for name in runs}
    for round_ in range(repeats + 2):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if round_ >= 2:
                taken[name].append((time.perf_counter() - started) * 1e3)
    return taken


@torch.no_grad()
def measure():
    torch.set_num_threads(1)
    for size, widths in NETWORKS.items():
        network = policy.policy(widths)
        observation = torch.randn(1, policy.OBSERVATION)
        for (kind, n), repeats in RUNS.items():
            repeats = repeats if widths[0] < 100 else repeats // 3
            taken = milliseconds(contenders(kind, n, network, observation), repeats)
            p50 = {name: statistics.median(times) for name, times in taken.items()}
            for name, times in taken.items():
                what = f"{n}-step {kind}, {size}, {name}"
                bar = f"<= {p50['diffusers']:.4g}" if name in ("adapter", "sample") else ""
                outside = (p50[name] - p50["network"]) / n * 1e3
                note = "" if name == "network" else f"{outside:.0f} µs a step outside the network"
                yield Figure(f"{what}: p50", p50[name], bar, "ms", note)
                p99 = statistics.quantiles(times, n=100)[98]
                yield Figure(f"{what}: p99", p99, "", "ms")


if __name__ == "__main__":
    main(measure)
