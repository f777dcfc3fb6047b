# SPDX-License-Identifier: Apache-2.0
"""Every network in a size that a test can afford, and inputs for it."""

import torch

from pydiffcore.networks import NETWORKS

CASES = {
    "adm": ("adm", {
        "classes": 3, "size": 8, "width": 8, "multipliers": (1, 2), "blocks": 1,
        "attention": (4,), "head_channels": 4,
    }),
    "adm, variance": ("adm", {
        "classes": 0, "size": 8, "width": 8, "multipliers": (1, 2), "blocks": 1,
        "attention": (8, 4), "head_channels": 8, "learned_variance": True,
    }),
    "ddpmpp": ("ddpmpp", {
        "classes": 3, "size": 8, "width": 8, "multipliers": (1, 2), "blocks": 1, "attention": (4,),
    }),
    "ncsnpp": ("ncsnpp", {
        "classes": 3, "size": 8, "width": 8, "multipliers": (1, 2, 2), "blocks": 1,
        "attention": (4,),
    }),
    "ncsnpp, skip": ("ncsnpp", {
        "size": 8, "width": 8, "multipliers": (1, 2), "blocks": 2, "attention": (4,),
        "progressive_output": "skip",
    }),
    "ncsnpp, input skip": ("ncsnpp", {
        "size": 8, "width": 8, "multipliers": (1, 2, 2), "blocks": 1, "attention": (4,),
        "progressive_input": "skip",
    }),
    "ncsnpp, residual": ("ncsnpp", {
        "size": 8, "width": 8, "multipliers": (1, 2, 3), "blocks": 1, "attention": (4,),
        "progressive_output": "residual",
    }),
    "dit": ("dit", {"channels": 3, "classes": 3, "width": 16, "depth": 2, "heads": 2}),
    "dit, variance": ("dit", {
        "channels": 3, "classes": 0, "width": 16, "depth": 1, "heads": 2, "patch": 4,
        "learned_variance": True,
    }),
    "edm2": ("edm2", {
        "channels": 3, "classes": 3, "size": 8, "width": 8, "multipliers": (1, 2), "blocks": 1,
        "attention": (4,), "head_channels": 8,
    }),
    "refinenet": ("refinenet", {"levels": 4, "width": 6}),
    "refinenet, v2": ("refinenet", {"levels": 0, "width": 6}),
    "refinenet, classes": ("refinenet", {"levels": 4, "classes": 3, "width": 6}),
    "mlp": ("mlp", {"features": 5, "classes": 3, "width": 16, "depth": 2}),
    "mlp, variance": ("mlp", {"features": 5, "width": 16, "depth": 1, "learned_variance": True}),
    "unet1d": ("unet1d", {"actions": 3, "observations": 4, "widths": (8, 16), "embedding": 8}),
    "unet1d, alone": ("unet1d", {"actions": 3, "widths": (8, 8, 16), "embedding": 8}),
}  # fmt: skip
STARTS_AS_ZERO = [name for name, (kind, _) in CASES.items() if kind not in ("refinenet", "unet1d")]
LABELLED = [name for name, (_, arguments) in CASES.items() if arguments.get("classes")]


def build(name, **more):
    """Return the network of a case, the same one each time."""
    kind, arguments = CASES[name]
    torch.manual_seed(0)
    return NETWORKS[kind](**(arguments | more))


def alive(name, **more):
    """Return the network with its zero layers filled, so that every path carries signal."""
    network = build(name, **more).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise, alpha=0.1 if parameter.ndim else 1.0)
        for table in network.modules():
            if getattr(table, "padding_idx", None) is not None:
                table.weight[table.padding_idx] = 0
    return network


def shape(network):
    """Return the shape of one sample."""
    config = network.config
    if "features" in config:
        return (config["features"],)
    return (8, config["actions"]) if "actions" in config else (config["channels"], 8, 8)


def inputs(network, size=4):
    """Return x, c_noise and what the network is conditioned on."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(size, *shape(network), generator=generator)
    if "levels" in network.config:
        c_noise = torch.arange(float(size)) % 4
    else:
        c_noise = torch.rand(size, generator=generator)
    if network.config.get("observations"):
        return x, c_noise, torch.randn(size, network.config["observations"], generator=generator)
    classes = network.config.get("classes", 0)
    return (x, c_noise, torch.arange(size) % (classes + 1)) if classes else (x, c_noise)
