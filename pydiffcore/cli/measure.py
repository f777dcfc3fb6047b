# SPDX-License-Identifier: Apache-2.0
"""One sampler on one model: how good, how fast, and how much of the time is not the network's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pydiffcore.cli.pictures import to_pixels
from pydiffcore.denoiser import Denoiser
from pydiffcore.evaluate import Score, Yardstick
from pydiffcore.plan import Plan
from pydiffcore.sample import sample
from pydiffcore.train.digits import pixels_to_x0
from pydiffcore.train.model import Model

__all__ = ["Measurement", "Stopwatch", "measure", "table"]

BATCH = 250  # samples per network call


@dataclass(frozen=True)
class Measurement:
    """What one sampler drew, what it scores and how long it took.

    Attributes:
        sampler: its name.
        nfe: network calls per sample.
        plan_hash: of the plan.
        pixels: uint8 [N, C, H, W], what is scored and what is written.
        score: against the yardstick.
        seconds: for all samples.
        network_seconds: the part of it inside the network.
    """

    sampler: str
    nfe: int
    plan_hash: str
    pixels: Tensor
    score: Score
    seconds: float
    network_seconds: float

    @property
    def images_per_second(self) -> float:
        """Samples over seconds."""
        return len(self.pixels) / self.seconds

    @property
    def share_outside(self) -> float:
        """Share of the time spent outside the network."""
        return 1 - self.network_seconds / self.seconds

    def figures(self) -> dict[str, Any]:
        """Return the figures, as JSON has them."""
        near = self.score.memorisation
        return {
            "sampler": self.sampler,
            "nfe": self.nfe,
            "plan": self.plan_hash,
            "frechet": self.score.frechet,
            "frechet_over_floor": self.score.ratio,
            "agreement": self.score.agreement,
            "median_distance_over_held_out": near.ratio,
            "median_distance": near.median,
            "median_distance_held_out": near.median_real,
            "share_nearer_than_held_out_1_percent": near.share_near,
            "images_per_second": self.images_per_second,
            "share_outside_network": self.share_outside,
        }


class Stopwatch:
    """A network that sums up the time spent in it."""

    def __init__(self, network: Callable[..., Tensor]) -> None:
        self.network = network
        self.seconds = 0.0

    def __call__(self, *args: Any, **condition: Any) -> Tensor:
        """Call the network and count."""
        start = time.perf_counter()
        F = self.network(*args, **condition)
        self.seconds += time.perf_counter() - start
        return F


def measure(
    name: str, plan: Plan, model: Model, yardstick: Yardstick, labels: Tensor
) -> Measurement:
    """Draw one sample per label, seeds 0, 1, …, and measure them.

    Args:
        name: of the sampler.
        plan: of the model's prediction.
        model: what is sampled from.
        yardstick: what is measured against.
        labels: int64 [N].
    """
    network = Stopwatch(model.network)
    denoiser = Denoiser(
        network, model.prediction, {"class_labels": labels},
        learned_variance=model.learned_variance,
    )  # fmt: skip
    with torch.inference_mode():
        first = labels[:BATCH]  # the first call also sets up the convolutions
        model.network(torch.zeros(len(first), *model.shape), torch.zeros(len(first)), first)
    start = time.perf_counter()
    x0 = sample(denoiser, plan, shape=model.shape, seeds=range(len(labels)), batch=BATCH)
    seconds = time.perf_counter() - start
    pixels = to_pixels(x0)
    score = yardstick.score(pixels_to_x0(pixels), labels)
    return Measurement(name, plan.nfe, plan.hash, pixels, score, seconds, network.seconds)


def table(measured: list[Measurement]) -> list[str]:
    """Return the lines of a table: quality, memorisation and speed of each sampler."""
    lines = [
        f"{'sampler':<14}{'NFE':>4}{'Fréchet':>9}{'× floor':>9}{'judge':>8}"
        f"{'median':>8}{'near':>7}{'images/s':>10}{'outside':>9}"
    ]
    for row in measured:
        score = row.score
        lines.append(
            f"{row.sampler:<14}{row.nfe:>4}{score.frechet:>9.3f}{score.ratio:>9.2f}"
            f"{score.agreement:>8.1%}{score.memorisation.ratio:>8.3f}"
            f"{score.memorisation.share_near:>7.1%}{row.images_per_second:>10.0f}"
            f"{row.share_outside:>9.1%}"
        )
    return lines
