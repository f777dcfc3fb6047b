# SPDX-License-Identifier: Apache-2.0
"""The yardstick: one fixed reference that real images and samples are measured to alike.

    floor   = d²(features of the training images, features of the reference)
    frechet = d²(features of as many samples per class, features of the same reference)

Both sides of a comparison have the same sizes and classes, so that the bias of d² is the same.
A generator whose samples were new real images would score the floor, up to chance; so would one
that copies its training images, which is why memorisation is reported beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pydiffcore.evaluate.frechet import frechet
from pydiffcore.evaluate.judge import agreement, features
from pydiffcore.evaluate.memorisation import Memorisation, memorisation
from pydiffcore.networks.classifier import Classifier

__all__ = ["Score", "Yardstick"]


@dataclass(frozen=True)
class Score:
    """What a set of samples scores.

    Attributes:
        frechet: d² of the samples to the reference.
        ratio: ``frechet`` over the floor.
        agreement: share of samples in which the judge sees the requested class.
        memorisation: distances to the nearest training image.
    """

    frechet: float
    ratio: float
    agreement: float
    memorisation: Memorisation


@dataclass(frozen=True)
class Yardstick:
    """A judge and two disjoint sets of real images that it was not trained on.

    Attributes:
        judge: gives features and classes.
        training, training_labels: images [N, *] that the generator was trained on.
        reference, reference_labels: images [M, *] that neither was trained on.
    """

    judge: Classifier
    training: Tensor
    training_labels: Tensor
    reference: Tensor
    reference_labels: Tensor

    @cached_property
    def accuracy(self) -> float:
        """The judge's accuracy on the reference: what agreement with real images is."""
        return agreement(self.judge, self.reference, self.reference_labels)

    @cached_property
    def floor(self) -> float:
        """d² between training and reference images."""
        return self._distance(self.training)

    def score(self, samples: Tensor, labels: Tensor) -> Score:
        """Measure samples of requested classes.

        Args:
            samples: images [N, *] on the scale of the real ones.
            labels: int64 [N]; of every class at least as many as training images.

        Raises:
            ValueError: a class has fewer samples than training images.
        """
        distance = self._distance(samples[self.matched(labels)])
        return Score(
            frechet=distance,
            ratio=distance / self.floor,
            agreement=agreement(self.judge, samples, labels),
            memorisation=memorisation(samples, self.training, self.reference),
        )

    def matched(self, labels: Tensor) -> Tensor:
        """Return the first places of each class, as many as there are training images of it."""
        places = []
        for label, count in zip(*self.training_labels.unique(return_counts=True), strict=True):
            found = torch.nonzero(labels == label)[: int(count), 0]
            if len(found) < count:
                raise ValueError(
                    f"there are {len(found)} samples of class {int(label)}, expected at least "
                    f"{int(count)}: as many as training images"
                )
            places.append(found)
        return torch.cat(places)

    def _distance(self, images: Tensor) -> float:
        return frechet(features(self.judge, images), self._reference_features)

    @cached_property
    def _reference_features(self) -> Tensor:
        return features(self.judge, self.reference)
