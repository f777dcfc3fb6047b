# SPDX-License-Identifier: Apache-2.0
"""A small plain convolutional classifier whose last hidden layer serves as features.

    logits = W features(x)        x [B, C, 8k, 8k] → features [B, 32] → logits [B, classes]

Convolutions and max-pooling, without skips, normalisation or attention: nothing that the U-Net
is made of, so that it does not share the U-Net's taste.  The form is LeCun et al. 1998.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """Classifier of images of one fixed size.

    Args:
        channels: of the image.
        size: height and width of the image, a multiple of 4.
        classes: number of classes.
        width: channels of the first layer.
        features: size of the last hidden layer.
        dropout: before the last hidden layer, in training only.

    Raises:
        ValueError: size is not a positive multiple of 4.
    """

    def __init__(
        self,
        channels: int = 1,
        size: int = 8,
        classes: int = 10,
        width: int = 32,
        features: int = 32,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if size < 4 or size % 4:
            raise ValueError(f"size is {size}, expected a positive multiple of 4")
        wide = 2 * width
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, wide, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(wide, wide, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(wide * (size // 4) ** 2, features),
            nn.ReLU(),
        )
        self.head = nn.Linear(features, classes)

    def features(self, x: Tensor) -> Tensor:
        """Return what the last layer reads, [B, features], of images x [B, C, size, size]."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [B, classes] of images x [B, C, size, size]."""
        return self.head(self.body(x))
