# SPDX-License-Identifier: Apache-2.0
"""diffusers' pipelines end to end, their own scheduler and ours in its place; tiny random weights.

``pipe.scheduler = ours.from_config(pipe.scheduler.config)`` is the only difference.  Interleaved
runs on the CPU, one thread, medians.  The network, which no scheduler can make faster, is most
of a run, and its time moves from run to run by more than what is left: so the bar is on the time
outside of it, measured in each run (``benchmarks/outside.py``), ours at most diffusers' own; the
ratio of whole runs stands beside it with its 95 % interval.
"""

import statistics

import diffusers
import torch

import pydiffcore.adapters.diffusers as ours
from benchmarks.claims.claim import Figure, main
from benchmarks.outside import Watch, compared

SIZE, RUNS = 8, 60
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
    watch = Watch(unet)
    for kind, scheduler, n in CASES:
        runs = {}
        for name, library in (("diffusers", diffusers), ("ours", ours)):
            pipe = pipeline(kind, scheduler, library, unet)
            runs[name] = lambda pipe=pipe, n=n: pipe(
                num_inference_steps=n, output_type="np", generator=torch.Generator().manual_seed(0)
            )
        yield from compared(f"{kind}, {n} steps", runs, watch, n, RUNS, whole)


def whole(what, times):
    yield Figure(what, statistics.median(times), "", "ms")


if __name__ == "__main__":
    main(measure)
