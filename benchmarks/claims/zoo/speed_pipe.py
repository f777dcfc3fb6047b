# SPDX-License-Identifier: Apache-2.0
"""diffusers' pipelines end to end, their own scheduler and ours in its place; tiny random weights.

``pipe.scheduler = ours.from_config(pipe.scheduler.config)`` is the only difference.  Interleaved
runs on the CPU, one thread, medians; "network" is the model's calls alone, which a scheduler cannot
make faster, and the note says how much of a run is outside of it.  The bar: not slower.
"""

import statistics
import time

import diffusers
import torch

import pydiffcore.adapters.diffusers as ours
from benchmarks.claims.claim import Figure, main

SIZE, RUNS = 8, 30
CASES = [("DDPMPipeline", "DDPMScheduler", 100), ("DDIMPipeline", "DDIMScheduler", 50)]


def network():
    """An untrained U-Net on 3×8×8 images."""
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        sample_size=SIZE, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    ).eval()  # fmt: skip


def pipeline(kind, scheduler, library, unet):
    """A pipeline whose scheduler is of the library; diffusers makes its own first."""
    pipe = getattr(diffusers, kind)(unet, getattr(diffusers, scheduler)())
    pipe.scheduler = getattr(library, scheduler).from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@torch.no_grad()
def measure():
    torch.set_num_threads(1)
    unet = network()
    for kind, scheduler, n in CASES:
        x, t = torch.randn(1, 3, SIZE, SIZE), torch.tensor(10)
        runs = {"network": lambda n=n, x=x, t=t: [unet(x, t) for _ in range(n)]}
        for name, library in (("diffusers", diffusers), ("ours", ours)):
            pipe = pipeline(kind, scheduler, library, unet)
            runs[name] = lambda pipe=pipe, n=n: pipe(
                num_inference_steps=n, output_type="np", generator=torch.Generator().manual_seed(0)
            )
        taken = {name: [] for name in runs}
        for round_ in range(RUNS + 2):
            for name, run in runs.items():
                started = time.perf_counter()
                run()
                if round_ >= 2:
                    taken[name].append(time.perf_counter() - started)
        median = {name: statistics.median(times) * 1e3 for name, times in taken.items()}
        for name, value in median.items():
            bar = f"<= {median['diffusers']:.4g}" if name == "ours" else ""
            outside = (value - median["network"]) / n * 1e3
            note = "" if name == "network" else f"{outside:.0f} µs a step outside the network"
            yield Figure(f"{kind}, {n} steps, {name}", value, bar, "ms", note)


if __name__ == "__main__":
    main(measure)
