# SPDX-License-Identifier: Apache-2.0
"""u(c_noise): a learned log-variance per noise level, of the loss  error / eᵘ + u.

Karras et al. 2024 (arXiv 2312.02696), section 2.2 and appendix B.3: one linear layer on Fourier
features.  It is used in training alone, beside the network and not in it.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from pydiffcore.networks import checks
from pydiffcore.networks.magnitude import MPFourier, Weight

__all__ = ["Uncertainty"]


class Uncertainty(nn.Module):
    """A number u for each number c_noise.

    Args:
        width: number of Fourier features.

    Raises:
        ValueError: width is less than 1.
    """

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        checks.at_least(1, width=width)
        self.config: dict[str, Any] = {"width": width}
        self.fourier = MPFourier(width)
        self.out = Weight(width, 1)

    def normalise_weights(self) -> None:
        """Set the weight to a root mean square of 1; call it after each step of the optimiser."""
        self.out.normalise_()

    def forward(self, c_noise: Tensor) -> Tensor:
        """Return u [B] of c_noise [B]."""
        return self.out(self.fourier(c_noise).to(self.out.weight.dtype))[:, 0]
