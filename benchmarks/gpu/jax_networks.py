# SPDX-License-Identifier: Apache-2.0
"""The transformers and the policies in JAX, on the weights of the torch networks.

Each form is called as ``F = form(jax, weights, heads, x, label, **condition)``, with one label.
The U-Net of images has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import transformer
from benchmarks.gpu.networks import DiT
from benchmarks.policy import Policy
from benchmarks.transformer import Transformer

__all__ = ["form_of", "weights_of"]


def form_of(network: Any) -> tuple[Callable[..., Any], int] | None:
    """Return a network's form and its attention's heads, or None where it has no form."""
    forms = {DiT: latent_transformer, Transformer: action_transformer, Policy: action_unet}
    form = forms.get(type(network))
    if form is None:
        return None
    return form, network.layers[0].heads if hasattr(network, "layers") else 0


def weights_of(network: nn.Module, jax: Any, dtype: Any) -> dict[str, Any]:
    """Return the weights by name; those of equal layers stacked."""

    def array(value: Tensor) -> Any:
        return jax.numpy.asarray(value.float().cpu().numpy()).astype(dtype)

    state = network.state_dict()
    plain = {name: array(value) for name, value in state.items() if "layers." not in name}
    names = {name.split(".", 2)[2] for name in state if name.startswith("layers.")}
    depth = len({name.split(".")[1] for name in state if name.startswith("layers.")})
    stacked = {n: array(torch.stack([state[f"layers.{i}.{n}"] for i in range(depth)]))
               for n in names}  # fmt: skip
    buffers = dict(network.named_buffers())
    (waves,) = (value for name, value in buffers.items() if name.endswith("frequencies"))
    return {"plain": plain, "layers": stacked, "waves": jax.numpy.asarray(waves.cpu().numpy())}


def latent_transformer(jax: Any, weights: Any, heads: int, x: Any, label: Any) -> Any:
    """The network of networks.DiT on x [B, 4, H, W]."""
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
    x = jax.lax.scan(lambda x, layer: (modulated(jax, layer, heads, x, e), None),
                     x, weights["layers"])[0]  # fmt: skip
    a, b = np_.split(dense(w, "modulation", e), 2)
    x = dense(w, "leave", norm(np_, x) * (1 + a) + b)
    x = x.reshape(B, H // 2, W // 2, 2, 2, C).transpose(0, 5, 1, 3, 2, 4)
    return x.reshape(B, C, H, W)


def modulated(jax: Any, w: Any, heads: int, x: Any, e: Any) -> Any:
    """One layer of the DiT."""
    np_ = jax.numpy
    a1, b1, g1, a2, b2, g2 = np_.split(dense(w, "modulation", e), 6)
    x = x + g1 * attention(jax, w, heads, norm(np_, x) * (1 + a1) + b1)
    h = jax.nn.gelu(dense(w, "rise", norm(np_, x) * (1 + a2) + b2), approximate=True)
    return x + g2 * dense(w, "fall", h)


def action_transformer(
    jax: Any, weights: Any, heads: int, x: Any, label: Any, observation: Any
) -> Any:
    """The network of transformer.Transformer on x [B, 16, 7]."""
    w, np_, actions = weights["plain"], jax.numpy, x.shape[1]
    e = np_.broadcast_to(waves(np_, weights, label, x.dtype), (len(x), 1, transformer.WAVES))
    seen = observation.reshape(len(x), transformer.TOKENS, -1)
    parts = [dense(w, "time", e), dense(w, "observed", seen), dense(w, "acted", x)]
    x = np_.concatenate(parts, axis=1) + w["place"]

    def layer(x: Any, w: Any) -> tuple[Any, None]:
        x = x + attention(jax, w, heads, affine(np_, w, "first", x))
        h = jax.nn.gelu(dense(w, "rise", affine(np_, w, "second", x)), approximate=False)
        return x + dense(w, "fall", h), None

    x = jax.lax.scan(layer, x, weights["layers"])[0]
    return dense(w, "last", affine(np_, w, "norm", x[:, -actions:]))


def action_unet(jax: Any, weights: Any, heads: int, x: Any, label: Any, observation: Any) -> Any:
    """The network of policy.Policy on x [B, 16, 7]."""
    w, np_ = weights["plain"], jax.numpy
    e = np_.broadcast_to(waves(np_, weights, label, x.dtype), (len(x), 32))
    e = np_.concatenate([observation, e], axis=1)
    levels = len({name.split(".")[1] for name in w if name.startswith("down.")})
    x, kept = x.transpose(0, 2, 1), []
    for i in range(levels):
        x = residual(jax, w, f"down.{i}", x, e)
        kept.append(x)
        x = x.reshape(*x.shape[:2], -1, 2).mean(3) if i + 1 < levels else x
    x = residual(jax, w, "middle", x, e)
    for i in range(levels - 1):
        x = residual(jax, w, f"up.{i}", np_.concatenate([x, kept.pop()], axis=1), e)
        x = x.repeat(2, axis=2)
    x = convolution(jax, w, "last.1", normed(jax, w, "last.0", x))
    return x.transpose(0, 2, 1)


def residual(jax: Any, w: Any, name: str, x: Any, e: Any) -> Any:
    """A policy's block: convolution, FiLM, convolution, and the input again."""
    scale, shift = jax.numpy.split(dense(w, f"{name}.film", e)[:, :, None], 2, axis=1)
    h = scale * normed(jax, w, f"{name}.first", x) + shift
    same = f"{name}.skip.weight" not in w
    return normed(jax, w, f"{name}.second", h) + (
        x if same else convolution(jax, w, f"{name}.skip", x)
    )


def normed(jax: Any, w: Any, name: str, x: Any) -> Any:
    """A convolution, a norm over 8 groups in float32, Mish."""
    x = convolution(jax, w, f"{name}.0", x)
    groups = norm(jax.numpy, x.reshape(len(x), 8, -1), 1e-5).reshape(x.shape)
    x = groups * w[f"{name}.1.weight"][:, None] + w[f"{name}.1.bias"][:, None]
    return x * jax.numpy.tanh(jax.nn.softplus(x))


def convolution(jax: Any, w: Any, name: str, x: Any) -> Any:
    kernel = w[f"{name}.weight"]
    edge = kernel.shape[2] // 2
    x = jax.lax.conv_general_dilated(
        x, kernel, (1,), [(edge, edge)], dimension_numbers=("NCH", "OIH", "NCH")
    )
    return x + w[f"{name}.bias"][:, None]


def attention(jax: Any, w: Any, heads: int, x: Any) -> Any:
    B, T, C = x.shape
    qkv = dense(w, "qkv", x).reshape(B, T, 3, heads, C // heads)
    mixed = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])
    return dense(w, "out", mixed.reshape(B, T, C))


def waves(np_: Any, weights: Any, label: Any, dtype: Any) -> Any:
    phase = label * weights["waves"]
    return np_.concatenate([np_.sin(phase), np_.cos(phase)]).astype(dtype)


def dense(w: Any, name: str, x: Any) -> Any:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def affine(np_: Any, w: Any, name: str, x: Any) -> Any:
    """LayerNorm with its weights."""
    return norm(np_, x, 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]


def norm(np_: Any, x: Any, eps: float = 1e-6) -> Any:
    """LayerNorm without weights, in float32."""
    wide = x.astype(np_.float32)
    mean = wide.mean(-1, keepdims=True)
    variance = ((wide - mean) ** 2).mean(-1, keepdims=True)
    return ((wide - mean) / np_.sqrt(variance + eps)).astype(x.dtype)
