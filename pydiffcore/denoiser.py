# SPDX-License-Identifier: Apache-2.0
"""A denoiser: a network, what its output means, and what it is conditioned on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pydiffcore.guidance import Guidance, cut
from pydiffcore.prediction import Prediction, denoised

__all__ = ["Denoiser"]


@dataclass(frozen=True)
class Denoiser:
    """``D(x; σ) = c_skip·x + c_out·F(c_in·x; c_noise)`` with F the network.

    Args:
        network: called as ``network(input, c_noise, **condition)`` with input [B, *shape] and
            c_noise [B]; with the default prediction it is a model ``D(x, sigma)``.
        prediction: what the network's output means.
        condition: keyword arguments of the network; tensors whose first axis is the number of
            samples are cut into batches along it, anything else is passed as it is.
        guidance: classifier-free guidance, or None.
    """

    network: Callable[..., Tensor]
    prediction: Prediction = field(default_factory=denoised)
    condition: Mapping[str, Any] = field(default_factory=dict)
    guidance: Guidance | None = None

    def __post_init__(self) -> None:
        if not callable(self.network):
            raise TypeError(f"network is {type(self.network).__name__}, expected a callable")
        if not isinstance(self.prediction, Prediction):
            raise TypeError(f"prediction is {self.prediction!r}, expected a pydiffcore.prediction")

    def batch(self, samples: int, start: int, stop: int) -> Denoiser:
        """Return the denoiser of samples start…stop of ``samples``."""
        guidance = self.guidance and self.guidance.batch(samples, start, stop)
        condition = cut(self.condition, samples, start, stop)
        return Denoiser(self.network, self.prediction, condition, guidance)
