# SPDX-License-Identifier: Apache-2.0
"""The loops in JAX: one jit around a fori_loop over all steps, where JAX is installed.

Coefficients are those of benchmarks/gpu/hand.py, weights those of the torch network, so that
results can be compared.  Heun's method and the U-Net of images have no JAX form.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.hand import ROWS
from benchmarks.gpu.jax_networks import form_of, weights_of
from benchmarks.gpu.task import Task

__all__ = ["Loop"]

# x' from the coefficients c of a step, x, F, D, the last D, and unit noise.
STEPS = {
    "dpmpp_2m": lambda c, x, F, D, last, z: c[2] * x + c[3] * D + c[4] * last,
    "ddpm": lambda c, x, F, D, last, z: c[2] * D.clip(-1, 1) + c[3] * x + c[4] * z,
    "ddim": lambda c, x, F, D, last, z: c[2] * D.clip(-1, 1) + c[3] * F,
    "flow": lambda c, x, F, D, last, z: x + c[2] * F,
}


class Loop:
    """Noise in, sample out, with all steps in one compiled function."""

    def __init__(self, task: Task) -> None:
        if find_spec("jax") is None:
            raise RuntimeError("JAX is not installed")
        form = form_of(task.network)
        if form is None or task.method not in STEPS:
            raise RuntimeError("this network has no JAX form")
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the memory is torch's
        jax = self.jax = import_module("jax")
        if task.device.type == "cuda" and jax.default_backend() != "gpu":
            raise RuntimeError("this JAX has no GPU")
        self.task, self.key = task, 0
        io = getattr(jax.numpy, str(task.io).removeprefix("torch."))
        self.weights = weights_of(task.network, jax, io)
        self.table, self.labels, first = table_of(task, jax)
        size, scale = task.size, task.plan.init_scale
        self.steps = jax.jit(steps_of(jax, task, form, first, io))
        self.draw = jax.jit(lambda key: scale * jax.random.normal(jax.random.PRNGKey(key), size))

    def __call__(self, x: Tensor | None, condition: Mapping[str, Tensor]) -> Tensor:
        self.key += 1
        given = self.draw(self.key) if x is None else self.jax.numpy.asarray(x.cpu().numpy())
        told = {name: self.jax.dlpack.from_dlpack(value) for name, value in condition.items()}
        result = self.steps(given, self.key, told, self.weights, self.table, self.labels)
        return torch.from_dlpack(result.block_until_ready())


def steps_of(jax: Any, task: Task, form: tuple[Any, int], first: float, io: Any) -> Any:
    """Return the function of all steps."""
    (network, heads), step = form, STEPS[task.method]

    def steps(x: Any, key: Any, condition: Any, weights: Any, table: Any, labels: Any) -> Any:
        keys = jax.random.PRNGKey(key + 2**30)  # not those of the initial noise

        def body(i: Any, state: Any) -> Any:
            x, last, input = state
            c, z = table[i], 0.0
            if task.method == "ddpm":
                z = jax.random.normal(jax.random.fold_in(keys, i), x.shape)
            F = network(jax, weights, heads, input, labels[i], **condition).astype(x.dtype)
            D = c[0] * x + c[1] * F
            x = step(c, x, F, D, last, z)
            return x, D, (c[5] * x).astype(io)

        start = (x, jax.numpy.zeros_like(x), (first * x).astype(io))
        return jax.lax.fori_loop(0, len(table), body, start)[0]

    return steps


def table_of(task: Task, jax: Any) -> tuple[Any, Any, float]:
    """Return the coefficients of each step [n, 6], the labels [n] and the first c_in.

    A step with fewer coefficients than others is theirs with zeros: the first and the last of
    DPM-Solver++, the last of DDPM, which draws nothing.
    """
    plan = task.plan
    c_in = np.append(plan.c_in / plan.scale[:-1], 1.0)
    rows = [
        [plan.c_skip[i] / plan.scale[i], plan.c_out[i], *c, *(0.0,) * (3 - len(c)), c_in[i + 1]]
        for i, (_, c) in enumerate(ROWS[task.method](task))
    ]
    table = jax.numpy.asarray(np.array(rows, np.float32))
    return table, jax.numpy.asarray(np.array(plan.c_noise, np.float32)), float(c_in[0])
