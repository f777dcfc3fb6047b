# SPDX-License-Identifier: Apache-2.0
"""One optimiser step of any cell of the design space, on any number of ranks.

Levels, noise and augmentation are a pure function of the sample's number, so that neither an
interruption nor the number of ranks changes what a sample sees.  A network's own dropout is drawn
for each part of a batch, and is the same after an interruption, but not on another number of ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pydiffcore.data.augment import Augmentation, dropped, mirrored
from pydiffcore.data.loader import Batch
from pydiffcore.data.span import Units
from pydiffcore.networks import Uncertainty
from pydiffcore.train.adamw import AdamW
from pydiffcore.train.ahead import Ahead
from pydiffcore.train.average import paired
from pydiffcore.train.bands import Bands
from pydiffcore.train.calling import calling, put_channels_last
from pydiffcore.train.config import Config
from pydiffcore.train.loss import denoising_terms
from pydiffcore.train.network import network_of
from pydiffcore.train.parallel import alone, reduced, reducing, spread
from pydiffcore.train.ranks import Ranks
from pydiffcore.train.resampler import Resampler
from pydiffcore.train.seeded import seeded
from pydiffcore.train.uncertainty import uncertainty_terms, variance_terms
from pydiffcore.train.update import Update
from pydiffcore.train.variational import hybrid_terms, vlb_terms

__all__ = ["Report", "Trainer"]

PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}
Keys = NDArray[np.uint64]
BANDS = Bands()
TERMS: dict[str, Callable[..., Tensor]] = {
    "denoising": denoising_terms,
    "uncertainty": uncertainty_terms,
    "hybrid": hybrid_terms,
    "vlb": vlb_terms,
    "variance": variance_terms,
}


@dataclass(frozen=True)
class Report:
    """What a step did: its number from 1, loss, norm of its gradients, rate, losses by level.

    ``skipped`` says that its gradients were not finite and changed nothing.
    """

    step: int
    loss: float
    norm: float
    rate: float
    skipped: bool
    sums: NDArray[np.float64]
    counts: NDArray[np.float64]


class Trainer:
    """Everything that changes while training: the one mutable state.

    Args:
        config: what to do.
        shape: of a sample: (C, H, W) of an image, (D,) of a vector, (T, A) of a sequence.
        classes: of the data, 0 without labels.
        ranks: this process among all.
        images: how many there are; a checkpoint of another number is refused.
        units: of data in floating point, None of images; a checkpoint of others is refused.
        fingerprint: of the samples; a checkpoint of another is refused.

    Raises:
        ValueError: the network does not fit the samples, or the configuration the ranks.

    """

    def __init__(
        self,
        config: Config,
        shape: tuple[int, ...],
        classes: int,
        ranks: Ranks | None = None,
        images: int | None = None,
        units: Units | None = None,
        fingerprint: str | None = None,
    ) -> None:
        self.config, self.ranks, self.cell = config, ranks or Ranks(), config.cell
        self.images, self.units, self.fingerprint = images, units, fingerprint
        observed = None if units is None else units.observed
        part = len(self.ranks.part(config.optimiser.batch))
        if part % config.optimiser.accumulate:
            raise ValueError(
                f"optimiser.accumulate is {config.optimiser.accumulate}, expected a divisor of "
                f"the {part} images of each process"
            )
        if config.optimiser.precision == "float16" and self.ranks.device.type != "cuda":
            raise ValueError(
                "optimiser.precision is 'float16', which needs a CUDA device: "
                "expected 'float32' or 'bfloat16'"
            )
        labelled = config.data.labels and config.network_name != "unet1d"
        self.shape, self.classes = tuple(shape), classes if labelled else 0
        device = self.ranks.device
        self.network = network_of(
            config, self.shape, self.classes, 0 if observed is None else len(observed.low)
        )
        if config.run.channels_last:
            put_channels_last(self.network)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.run.seed + 2**24)
            learns = self.cell.loss == "uncertainty"
            self.head = Uncertainty().to(device) if learns else None
        self._model, self.averages = spread(
            self.network, config.kinds, self.ranks, config.run.shard
        )
        self._alone = alone(self._model, self.head)
        self._called = calling(
            self._model, compiled=config.run.compile, channels_last=config.run.channels_last
        )
        self._kinds, parts, self._parameters = config.kinds, config.optimiser, self._learned()
        self.optimiser = AdamW(
            self._parameters, lr=parts.rate.peak, betas=parts.betas, eps=parts.eps,
            weight_decay=parts.weight_decay, fused=device.type in ("cpu", "cuda"),
        )  # fmt: skip
        half = parts.precision == "float16"
        self.scaler = torch.amp.GradScaler(device.type, enabled=half and device.type == "cuda")
        pairs = {name: paired(each, self.network) for name, each in self.averages.items()}
        self._update = Update(
            self._parameters, self.optimiser, pairs, (self.network, self.head), self.ranks,
            self.scaler,
        )  # fmt: skip
        self.resampler = Resampler(self.cell.process) if config.importance else None
        law = self.cell.law if self.resampler is None else None
        self._ahead = Ahead(law, self.cell.prediction, config.run.seed << 40, parts.batch)
        self.step = self.skipped = self.in_a_row = 0
        self._augmentation = Augmentation(p=config.data.augment)

    def _learned(self) -> list[nn.Parameter]:
        head = [] if self.head is None else list(self.head.parameters())
        return [each for each in [*self.network.parameters(), *head] if each.requires_grad]

    def advance(self, batch: Batch) -> Report:
        """Do one optimiser step on this rank's part of a global batch.

        Raises:
            FloatingPointError: gradients were not finite for ``run.patience`` steps in a row.

        """
        config, parts = self.config, self.config.optimiser
        rate = parts.rate.at(self.step, config.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        if not self.network.training:
            self.network.train()
        for parameter in self._parameters:
            parameter.grad = None
        loss, sums, counts = self._backward(batch)
        norm = self._update.norm(parts.clip)
        finite = math.isfinite(norm) and math.isfinite(loss)
        if finite:
            done = self.step - self.skipped + 1
            self._update.step({k: kind.beta(done, parts.batch) for k, kind in self._kinds.items()})
        if self.scaler.is_enabled():
            self.scaler.update()
        self.step += 1
        self.skipped += not finite
        self.in_a_row = 0 if finite else self.in_a_row + 1
        if self.in_a_row >= config.run.patience:
            raise FloatingPointError(
                f"gradients were not finite for {self.in_a_row} steps in a row, the last at step "
                f"{self.step} (loss {loss}, norm {norm})"
            )
        return Report(self.step, loss, norm, rate, not finite, sums, counts)

    def _backward(self, batch: Batch) -> tuple[float, Any, Any]:
        """Accumulate the gradients of the mean loss; return it, and its sums by level."""
        parts, size = self.config.optimiser.accumulate, len(batch.images)
        cuts = [size * k // parts for k in range(parts + 1)]
        seen: list[tuple[NDArray[np.float64], Tensor]] = []
        noted: list[Tensor] = []
        for k, (low, high) in enumerate(pairwise(cuts)):
            with reducing(self._model, last=k == parts - 1):
                sigma, terms, drawn = self._terms(batch, low, high)
                self._descend(terms, size)
            seen.append((sigma, terms.detach()))
            noted += drawn
        self._remember(noted)  # after the last part: all of a batch are drawn alike
        sigma, terms = seen[0]
        if parts > 1:
            sigma, terms = np.concatenate([s for s, _ in seen]), torch.cat([t for _, t in seen])
        terms = terms.double()
        reduced(self._alone, self.ranks)
        sums, counts = BANDS.sums(sigma, terms)
        loss = float(terms.mean())
        if self.ranks.count == 1:
            return loss, sums, counts.astype(np.float64)
        whole = torch.from_numpy(np.concatenate([[loss], sums, counts]))
        mean = self.ranks.mean(whole.to(self.ranks.device)).cpu().numpy()
        bands = len(sums)
        return float(mean[0]), *(mean[1:].reshape(2, bands) * self.ranks.count)

    def _descend(self, terms: Tensor, size: int) -> None:
        """Add the gradients of sum(terms)/size."""
        if self.scaler.is_enabled():
            self.scaler.scale(terms.sum() / size).backward()
        else:
            torch.autograd.backward(terms, torch.full_like(terms, 1 / size))

    def losses(self, batch: Batch, low: int, high: int) -> Tensor:
        """Return the losses of some of this rank's samples, with their graph."""
        return self._terms(batch, low, high)[1]

    def _terms(
        self, batch: Batch, low: int, high: int
    ) -> tuple[NDArray[np.float64], Tensor, list[Tensor]]:
        """Return levels and losses of a part of this rank's samples.

        Where a resampler drew the levels, its entries and their own losses come with them,
        float64 [b, 2].
        """
        config, numbers = self.config, batch.numbers[low:high]
        start = batch.position - config.optimiser.batch
        seeds, levels = self._ahead.of(numbers, start)
        images, condition = self._inputs(batch, low, high, seeds)
        draw = None
        if self.resampler is not None:
            draw = self.resampler.sample(seeds, of=(numbers.start - start, config.optimiser.batch))
            sigma = draw.sigma
        else:
            assert levels is not None
            sigma = levels.sigma
        dtype = PRECISIONS.get(config.optimiser.precision)
        device = self.ranks.device
        precision = nullcontext() if dtype is None else torch.autocast(device.type, dtype)
        with seeded(int(seeds[0]), device), precision:  # the network's own dropout
            known = levels is not None and self.cell.loss == "denoising"
            each = None if draw is not None or self.scaler.is_enabled() else 1 / len(batch.images)
            terms = self._loss(images, levels if known else sigma, seeds, condition, each)
        if draw is None:
            return sigma, terms.float(), []
        losses = terms.detach().double()
        noted = torch.stack([torch.from_numpy(draw.index).to(losses), losses], dim=1)
        return sigma, (terms * torch.from_numpy(draw.importance).to(terms)).float(), [noted]

    def _inputs(
        self, batch: Batch, low: int, high: int, seeds: Keys
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return images and condition on the device, flipped, transformed, labels dropped."""
        data, device = self.config.data, self.ranks.device
        images = batch.images[low:high].to(device, non_blocking=True)
        condition: dict[str, Tensor] = {}
        if data.mirror and not data.augment:
            images = mirrored(images, seeds)
        if data.augment:
            images, condition["augmentation_labels"] = self._augmentation(images, seeds)
        if batch.labels is not None and batch.labels.is_floating_point():
            condition["observation"] = batch.labels[low:high].to(device, non_blocking=True)
        elif self.classes and batch.labels is not None:
            labels = batch.labels[low:high].to(device, non_blocking=True)
            condition["class_labels"] = dropped(labels, seeds, data.label_dropout, self.classes)
        return images, condition

    def _loss(
        self,
        images: Tensor,
        sigma: Any,
        seeds: Keys,
        condition: dict[str, Tensor],
        each: float | None,
    ) -> Tensor:
        """Return the cell's loss of each sample, [b], whose gradient will be ``each`` if given."""
        cell, extra = self.cell, {"uncertainty": (self.head,)}
        extra |= dict.fromkeys(("hybrid", "vlb"), (cell.process,))  # type: ignore[arg-type]
        given: dict[str, Any] = {"seeds": seeds, "condition": condition}
        if cell.loss in ("denoising", "uncertainty", "hybrid"):
            given["weight"] = cell.weight
        if cell.loss == "denoising":
            given |= {"each": each, "huber": self.config.huber, "scales": self.config.scales or 1}
        about = (self._called, images, sigma, cell.prediction, *extra.get(cell.loss, ()))
        return TERMS[cell.loss](*about, **given)

    def _remember(self, noted: list[Tensor]) -> None:
        """Tell the resampler of the losses of all ranks, in the order of the samples."""
        if self.resampler is not None:
            places, losses = self.ranks.gathered(torch.cat(noted)).cpu().numpy().T
            self.resampler.update(places.astype(np.int64), losses)
