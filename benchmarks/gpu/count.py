# SPDX-License-Identifier: Apache-2.0
"""How many of our kernels run per network call, as the profiler counts: one.

A run of n calls has n + 1 rows: the first makes the initial state and the first input.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu import networks
from benchmarks.gpu.ours import Eager
from benchmarks.gpu.scale import Scale
from benchmarks.gpu.task import cases, task

__all__ = ["count"]

ROW_KERNEL = "row_kernel"  # csrc/cuda/kernel.cuh


@torch.no_grad()
def count(scale: Scale, device: torch.device) -> dict[str, Any]:
    """Return the count of one run of ``pydiffcore.sample`` on the first network."""
    case = cases(scale)[0]
    network = networks.ready(case.make, device, torch.bfloat16)
    given = task(case, network, min(case.steps), device, scale)
    run = Eager(given)
    run(None, {})
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
        torch.cuda.synchronize(device)
    with profile(activities=activities) as profiler:
        run(None, {})
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    kernels = Counter(
        event.name for event in profiler.events() if event.device_type == DeviceType.CUDA
    )
    found = {"network": case.name, "sampler": given.plan.sampler, "calls": given.plan.nfe}
    if not kernels:
        reason = "no kernels on a CPU" if device.type == "cpu" else "the profiler saw no kernel"
        return {**found, "skipped": reason, "holds": None if device.type == "cpu" else False}
    rows = sum(times for name, times in kernels.items() if ROW_KERNEL in name)
    return {
        **found,
        "row_kernels": rows,
        "per_call": (rows - 1) / given.plan.nfe,
        "all_device_events": sum(kernels.values()),
        "holds": rows == given.plan.nfe + 1,
    }
