# SPDX-License-Identifier: Apache-2.0
"""DPM-Solver++(2M) on the transformer in JAX: one jit around a fori_loop, where JAX is installed.

The weights are those of the torch network, so that results can be compared.  Only the transformers
have a JAX form.
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
from benchmarks.gpu.networks import DiT
from benchmarks.gpu.task import Task

__all__ = ["Loop"]


class Loop:
    """Noise in, sample out, with all steps in one compiled function."""

    def __init__(self, task: Task) -> None:
        if find_spec("jax") is None:
            raise RuntimeError("JAX is not installed")
        if not isinstance(task.network, DiT) or task.method != "dpmpp_2m":
            raise RuntimeError("this network has no JAX form")
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the memory is torch's
        jax = self.jax = import_module("jax")
        if task.device.type == "cuda" and jax.default_backend() != "gpu":
            raise RuntimeError("this JAX has no GPU")
        self.task, self.key = task, 0
        self.weights = weights_of(task.network, jax)
        self.table, self.labels, first = table_of(task, jax)
        heads, size, scale = task.network.layers[0].heads, task.size, task.plan.init_scale

        def steps(x: Any, weights: Any, table: Any, labels: Any) -> Any:
            def body(i: int, state: Any) -> Any:
                x, last, input = state
                c = table[i]
                F = transformer(jax, weights, heads, input, labels[i]).astype(x.dtype)
                D = c[0] * x + c[1] * F
                x = c[2] * x + c[3] * D + c[4] * last
                return x, D, (c[5] * x).astype(input.dtype)

            start = (x, jax.numpy.zeros_like(x), (first * x).astype(jax.numpy.bfloat16))
            return jax.lax.fori_loop(0, len(self.table), body, start)[0]

        self.steps = jax.jit(steps)
        self.draw = jax.jit(lambda key: scale * jax.random.normal(jax.random.PRNGKey(key), size))

    def __call__(self, x: Tensor | None, condition: Mapping[str, Tensor]) -> Tensor | None:
        self.key += 1
        given = self.draw(self.key) if x is None else self.jax.numpy.asarray(x.cpu().numpy())
        result = self.steps(given, self.weights, self.table, self.labels).block_until_ready()
        return None if x is None else torch.from_numpy(np.array(result)).to(x.device)


def table_of(task: Task, jax: Any) -> tuple[Any, Any, float]:
    """Return the coefficients of each step [n, 6], the labels [n] and the first c_in."""
    plan = task.plan
    c_in = np.append(plan.c_in / plan.scale[:-1], 1.0)
    rows = [
        [plan.c_skip[i] / plan.scale[i], plan.c_out[i], *c, *(0.0,) * (3 - len(c)), c_in[i + 1]]
        for i, (_, c) in enumerate(ROWS[task.method](task))
    ]
    table = jax.numpy.asarray(np.array(rows, np.float32))
    return table, jax.numpy.asarray(np.array(plan.c_noise, np.float32)), float(c_in[0])


def weights_of(network: DiT, jax: Any) -> dict[str, Any]:
    """Return the weights by name, in bfloat16; those of all layers stacked."""

    def array(value: Tensor) -> Any:
        return jax.numpy.asarray(value.float().cpu().numpy()).astype(jax.numpy.bfloat16)

    state = network.state_dict()
    plain = {name: array(value) for name, value in state.items() if "layers." not in name}
    names = {name.split(".", 2)[2] for name in state if name.startswith("layers.")}
    depth = len(network.layers)
    stacked = {n: array(torch.stack([state[f"layers.{i}.{n}"] for i in range(depth)]))
               for n in names}  # fmt: skip
    waves = jax.numpy.asarray(network.waves.frequencies.cpu().numpy())
    return {"plain": plain, "layers": stacked, "waves": waves}


def transformer(jax: Any, weights: Any, heads: int, x: Any, label: Any) -> Any:
    """The network of networks.DiT on x [B, 4, H, W] and one label."""
    w, np_ = weights["plain"], jax.numpy
    B, C, H, W = x.shape
    phase = label * weights["waves"]
    e = np_.concatenate([np_.cos(phase), np_.sin(phase)]).astype(x.dtype)
    e = jax.nn.silu(dense(w, "embed.0", e))
    e = jax.nn.silu(dense(w, "embed.2", e))
    patches = x.reshape(B, C, H // 2, 2, W // 2, 2).transpose(0, 2, 4, 1, 3, 5)
    kernel = w["enter.weight"]
    x = patches.reshape(B, H * W // 4, 4 * C) @ kernel.reshape(len(kernel), -1).T
    x = x + w["enter.bias"] + w["place"]
    x = jax.lax.scan(lambda x, layer: (block(jax, layer, heads, x, e), None),
                     x, weights["layers"])[0]  # fmt: skip
    a, b = np_.split(dense(w, "modulation", e), 2)
    x = dense(w, "leave", norm(np_, x) * (1 + a) + b)
    x = x.reshape(B, H // 2, W // 2, 2, 2, C).transpose(0, 5, 1, 3, 2, 4)
    return x.reshape(B, C, H, W)


def block(jax: Any, w: Any, heads: int, x: Any, e: Any) -> Any:
    """One layer."""
    np_ = jax.numpy
    B, T, C = x.shape
    a1, b1, g1, a2, b2, g2 = np_.split(dense(w, "modulation", e), 6)
    qkv = dense(w, "qkv", norm(np_, x) * (1 + a1) + b1).reshape(B, T, 3, heads, C // heads)
    mixed = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])
    x = x + g1 * dense(w, "out", mixed.reshape(B, T, C))
    h = jax.nn.gelu(dense(w, "rise", norm(np_, x) * (1 + a2) + b2), approximate=True)
    return x + g2 * dense(w, "fall", h)


def dense(w: Any, name: str, x: Any) -> Any:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(np_: Any, x: Any) -> Any:
    """LayerNorm without weights, in float32."""
    wide = x.astype(np_.float32)
    mean = wide.mean(-1, keepdims=True)
    variance = ((wide - mean) ** 2).mean(-1, keepdims=True)
    return ((wide - mean) / np_.sqrt(variance + 1e-6)).astype(x.dtype)
