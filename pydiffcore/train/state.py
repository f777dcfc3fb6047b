# SPDX-License-Identifier: Apache-2.0
"""A training on disk: everything that is needed to go on as if it had never stopped."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

import torch
from torch import Tensor

from pydiffcore.train import checkpoint
from pydiffcore.train.loop import Recipe, Training

__all__ = ["load_training", "save_training"]


def save_training(path: str | Path, state: Training) -> None:
    """Write a training as a checkpoint, atomically.

    Args:
        path: its name, without ending.
        state: between two steps.
    """
    tensors = {f"network.{name}": t for name, t in state.network.state_dict().items()}
    tensors |= {f"ema.{name}": t for name, t in state.ema.state_dict().items()}
    for place, moments in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{place}.{name}": t for name, t in moments.items()}
    tensors["losses"] = torch.tensor(state.losses, dtype=torch.float64)
    config = state.network.config
    meta = {
        "recipe": asdict(state.recipe),
        "step": state.step,
        "channels": config["channels"],
        "classes": config["classes"],
    }
    checkpoint.save(path, tensors, meta)


def load_training(path: str | Path, recipe: Recipe) -> Training:
    """Read a training that :func:`save_training` wrote, to go on with it.

    Args:
        path: its name, without ending.
        recipe: what it must have been started with.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the checkpoint is truncated or altered, holds something else, or was made
            with another recipe.
    """
    tensors, meta = checkpoint.load(path)
    if "recipe" not in meta or "step" not in meta:
        raise ValueError(f"{path} holds no training: its JSON has {sorted(meta)}")
    written = meta["recipe"]
    changed = [
        f"{field.name} was {written.get(field.name)}, now {getattr(recipe, field.name)}"
        for field in fields(Recipe)
        if written.get(field.name) != getattr(recipe, field.name)
    ]
    if changed:
        raise ValueError(f"{path} was made with another recipe: {'; '.join(changed)}")
    state = Training.start(recipe, channels=meta["channels"], classes=meta["classes"])
    state.network.load_state_dict(_under(tensors, "network."))
    state.ema.load_state_dict(_under(tensors, "ema."))
    parameters = list(state.network.parameters())
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _under(tensors, "optimiser.").items():
        place, kind = name.split(".")
        parameter = parameters[int(place)]
        if tensor.shape == parameter.shape:
            # The fused Adam walks memory, so moments must lie as their parameter does.
            tensor = torch.empty_like(parameter.detach()).copy_(tensor)
        moments.setdefault(int(place), {})[kind] = tensor
    groups = state.optimiser.state_dict()["param_groups"]
    state.optimiser.load_state_dict({"state": moments, "param_groups": groups})
    state.step = int(meta["step"])
    state.losses = tensors["losses"].tolist()
    return state


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
