# SPDX-License-Identifier: Apache-2.0
"""The usual loop around diffusers' own schedulers, where diffusers is installed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.task import Task

__all__ = ["Scheduled"]

COSINE = {"num_train_timesteps": 100, "beta_schedule": "squaredcos_cap_v2"}
LINEAR = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02}
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddpm": ("DDPMScheduler", COSINE),
    "ddim": ("DDIMScheduler", COSINE),
    "dpmpp_2m": (
        "DPMSolverMultistepScheduler",
        {**LINEAR, "timestep_spacing": "trailing", "final_sigmas_type": "zero"},
    ),
    "flow": ("FlowMatchEulerDiscreteScheduler", {}),
}


class Scheduled:
    """Timesteps set anew for every run, as pipelines do; the state stays float32."""

    def __init__(self, task: Task) -> None:
        if task.method not in SCHEDULERS:
            raise RuntimeError(f"diffusers has no {task.method} for this network")
        if find_spec("diffusers") is None:
            raise RuntimeError("diffusers is not installed")
        name, options = SCHEDULERS[task.method]
        self.task = task
        n = task.steps
        # Flow pipelines hand over the times: the scheduler's own end at 1/1000, not at 1/n.
        times = {"sigmas": [1 - i / n for i in range(n)]}
        self.steps: dict[str, Any] = times if task.method == "flow" else {"num_inference_steps": n}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.scheduler = getattr(import_module("diffusers"), name)(**options)

    def __call__(self, x: Tensor | None, condition: Mapping[str, Tensor]) -> Tensor:
        task, scheduler = self.task, self.scheduler
        with warnings.catch_warnings():
            # NumPy 2 deprecates how diffusers turns tensors into arrays.
            warnings.simplefilter("ignore", DeprecationWarning)
            scheduler.set_timesteps(**self.steps, device=task.device)
            x = torch.randn(task.size, device=task.device) if x is None else x
            for t in scheduler.timesteps:
                F = task.network(x.to(task.io), t.float().expand(task.batch), **condition)
                x = scheduler.step(F.float(), t, x, return_dict=False)[0]
        return x
