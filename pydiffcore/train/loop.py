# SPDX-License-Identifier: Apache-2.0
"""The training loop: a generator that yields after every step and owns nothing else.

Every number drawn is a pure function of (seed, step, place in the batch), so that a run that
was interrupted and taken up again ends with the same weights as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pydiffcore.networks.unet import UNet
from pydiffcore.ops.noise import AUGMENTATION, normal
from pydiffcore.prediction import edm
from pydiffcore.train.ema import ema_copy, ema_update
from pydiffcore.train.loss import denoising_loss, lognormal_levels

__all__ = ["Progress", "Recipe", "Training", "train"]


@dataclass(frozen=True)
class Recipe:
    """What the training does; the defaults are those of the digits.

    Attributes:
        steps, batch: number of optimiser steps, images in each.
        learning_rate: peak of Adam's rate, reached after ``warmup`` steps, then a half cosine to 0.
        half_life: of the average of the weights, in steps.
        sigma_data: deviation of the data, of the EDM prediction.
        level_mean, level_std: of ln sigma.
        label_dropout: share of images trained without their class, for guidance.
        width, embedding, dropout: of the network.
        seed: of everything drawn.

    Raises:
        ValueError: a count is below 1 or a share outside [0, 1).
    """

    steps: int = 1600
    batch: int = 128
    learning_rate: float = 2e-3
    warmup: int = 100
    half_life: float = 100.0
    sigma_data: float = 0.5
    level_mean: float = -0.8
    level_std: float = 1.2
    label_dropout: float = 0.1
    width: int = 32
    embedding: int = 96
    dropout: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "warmup"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name in ("label_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a share in [0, 1)")
        if not 0 <= self.seed < 2**24:
            raise ValueError(f"seed is {self.seed}, expected an integer in [0, 2^24)")


@dataclass
class Training:
    """Everything that changes while training: the one mutable state of the loop."""

    recipe: Recipe
    network: UNet
    ema: UNet
    optimiser: torch.optim.Optimizer
    step: int = 0
    losses: list[float] = field(default_factory=list)

    @classmethod
    def start(cls, recipe: Recipe, *, channels: int = 1, classes: int = 10) -> Training:
        """Return the state before the first step, the weights drawn from the recipe's seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            network = UNet(channels, classes, recipe.width, recipe.embedding, recipe.dropout)
        optimiser = torch.optim.Adam(
            network.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99), fused=True
        )
        return cls(recipe, network, ema_copy(network), optimiser)


@dataclass(frozen=True)
class Progress:
    """What a step reports: its number from 1, the number of all, its loss, its learning rate."""

    step: int
    steps: int
    loss: float
    learning_rate: float


def train(state: Training, images: Tensor, labels: Tensor) -> Iterator[Progress]:
    """Do the remaining steps of a training, yielding after each.

    The state is whole whenever this yields: stop there, save it, and go on later or not at all.

    Args:
        state: changed in place.
        images: uint8 pixels or x0, [N, C, H, W].
        labels: int64 [N], below the network's number of classes.

    Raises:
        ValueError: images and labels do not belong together.
        FloatingPointError: the loss is not finite.
    """
    recipe = state.recipe
    if len(images) != len(labels) or len(images) == 0:
        raise ValueError(f"images and labels have {len(images)} and {len(labels)} entries")
    state.network.train()
    while state.step < recipe.steps:
        rate = learning_rate(recipe, state.step)
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        loss = _step(state, images, labels)
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} at step {state.step + 1}")
        state.step += 1
        state.losses.append(loss)
        ema_update(state.ema, state.network, state.step, half_life=recipe.half_life)
        yield Progress(state.step, recipe.steps, loss, rate)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the rate of step 0, 1, …: linear warm-up times a half cosine to 0."""
    ramp = min(1.0, (step + 1) / recipe.warmup)
    return recipe.learning_rate * ramp * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))


def _step(state: Training, images: Tensor, labels: Tensor) -> float:
    """Do one optimiser step and return its loss."""
    recipe, network = state.recipe, state.network
    # 2^24 seeds of training times 2^40 samples: no two samples of any two trainings share a key.
    first = (recipe.seed << 40) + state.step * recipe.batch
    seeds = range(first, first + recipe.batch)
    chosen = _chosen(recipe, state.step, len(images))
    classes = labels[chosen].clone()
    dropped = normal(seeds, (), purpose=AUGMENTATION).double()
    classes[torch.special.ndtr(dropped) < recipe.label_dropout] = network.config["classes"]
    sigma = lognormal_levels(seeds, recipe.level_mean, recipe.level_std)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(first)  # the network's own dropout
        loss = denoising_loss(
            network,
            images[chosen],
            sigma,
            edm(recipe.sigma_data),
            seeds=seeds,
            condition={"class_labels": classes},
        )
    state.optimiser.zero_grad()
    loss.backward()
    state.optimiser.step()
    return loss.item()


def _chosen(recipe: Recipe, step: int, size: int) -> Tensor:
    """Return the places of a step's images: the epochs, each in its own order, end to end."""
    first = step * recipe.batch
    epochs = range(first // size, (first + recipe.batch - 1) // size + 1)
    keys = [recipe.seed << 40]
    orders = [
        normal(keys, (size,), purpose=AUGMENTATION, stream=1 + epoch)[0].argsort(stable=True)
        for epoch in epochs
    ]
    start = first % size
    return torch.cat(orders)[start : start + recipe.batch]
