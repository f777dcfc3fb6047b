# SPDX-License-Identifier: Apache-2.0
"""The judge: a classifier that says which class a sample shows, and whose features are compared.

It is trained on scans that neither the diffusion model nor the reference has, and its accuracy on
real scans that it has not seen bounds what its agreement with a generator can mean.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pydiffcore.networks.classifier import Classifier
from pydiffcore.ops.noise import AUGMENTATION, normal

__all__ = ["agreement", "features", "train_judge"]

BATCH = 64
LEARNING_RATE = 2e-3
NOISE = 0.1  # deviation of the noise added to a training image
BACKGROUND = -1.0


def train_judge(x0: Tensor, labels: Tensor, *, steps: int = 1500, seed: int = 0) -> Classifier:
    """Return a classifier trained by cross-entropy on images moved by up to one pixel.

    Args:
        x0: images in [−1, 1], float32 [N, 1, H, H].
        labels: int64 [N].
        steps: optimiser steps of 64 images, the rate a half cosine to 0.
        seed: of weights, order, shifts and noise.

    Raises:
        ValueError: images and labels do not belong together, or steps is below 1.
    """
    if len(x0) != len(labels) or len(x0) == 0 or steps < 1:
        raise ValueError(
            f"x0, labels and steps are {len(x0)}, {len(labels)} and {steps}, expected as many "
            "labels as images and at least one step"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = Classifier(x0.shape[1], x0.shape[2], int(labels.max()) + 1)
        optimiser = torch.optim.AdamW(judge.parameters(), LEARNING_RATE, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        judge.train()
        for step in range(steps):
            chosen = torch.randint(len(x0), (BATCH,))
            moved = _moved(x0[chosen], torch.randint(3, (BATCH, 2)))
            seeds = range(step * BATCH, (step + 1) * BATCH)
            noise = normal(seeds, x0.shape[1:], purpose=AUGMENTATION, stream=seed)
            logits = judge(moved + NOISE * noise)
            loss = functional.cross_entropy(logits, labels[chosen], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return judge.eval().requires_grad_(False)


def _moved(x0: Tensor, shift: Tensor) -> Tensor:
    """Move each image by (shift − 1) pixels, shift [B, 2] in 0…2, filling with background."""
    height, width = x0.shape[2:]
    padded = functional.pad(x0, (1, 1, 1, 1), value=BACKGROUND).permute(0, 2, 3, 1)
    rows = shift[:, 0, None] + torch.arange(height)
    columns = shift[:, 1, None] + torch.arange(width)
    image = torch.arange(len(x0))[:, None, None]
    return padded[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def features(judge: Classifier, x0: Tensor) -> Tensor:
    """Return the judge's features [N, d] of images x0 [N, C, H, W]."""
    with torch.inference_mode():
        return judge.features(x0)


def agreement(judge: Classifier, x0: Tensor, labels: Tensor) -> float:
    """Return the share of images x0 [N, C, H, W] in which the judge sees the label [N]."""
    if len(x0) != len(labels) or len(x0) == 0:
        raise ValueError(f"x0 and labels have {len(x0)} and {len(labels)} entries")
    with torch.inference_mode():
        return float((judge(x0).argmax(dim=1) == labels).double().mean())
