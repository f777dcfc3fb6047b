# SPDX-License-Identifier: Apache-2.0
"""A denoiser: a network, what its output means, and what it is conditioned on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from pydiffcore.condition import entries
from pydiffcore.guidance import Guidance, cut
from pydiffcore.prediction import Prediction, denoised

__all__ = ["Denoiser"]


@dataclass(frozen=True)
class Denoiser:
    """``D(x; σ) = c_skip·x + c_out·F(c_in·x; c_noise)`` with F the network.

    Args:
        network: called as ``network(input, c_noise, **condition)`` with input [B, *shape] of the
            io_dtype and c_noise [B], float64 where that is float64 and float32 otherwise: a level
            does not survive 16 bits.  With the default prediction it is a model ``D(x, sigma)``.
        prediction: what the network's output means.
        condition: keyword arguments of the network; tensors and NumPy arrays whose first axis is
            the number of samples, and lists of that length, are cut into batches along it, in
            dicts as well; anything else, tuples too, is passed as it is.
        guidance: classifier-free guidance, or None.
        learned_variance: the output has twice the channels (axis 1), F and then v in about
            [−1, 1], which the sampler may use for its noise: ``ddpm(variance="learned_range")``.

    Raises:
        TypeError: an argument has a wrong type.
    """

    network: Callable[..., Tensor]
    prediction: Prediction = field(default_factory=denoised)
    condition: Mapping[str, Any] = field(default_factory=dict)
    guidance: Guidance | None = None
    learned_variance: bool = False

    def __post_init__(self) -> None:
        if not callable(self.network):
            raise TypeError(f"network is {type(self.network).__name__}, expected a callable")
        if not isinstance(self.prediction, Prediction):
            raise TypeError(f"prediction is {self.prediction!r}, expected a pydiffcore.prediction")
        if not isinstance(self.condition, Mapping):
            raise TypeError(
                f"condition is {type(self.condition).__name__}, expected a dict of the network's "
                "keyword arguments, such as {'label': labels}"
            )
        if not isinstance(self.guidance, Guidance | None):
            raise TypeError(
                f"guidance is {self.guidance!r}, expected a pydiffcore.Guidance or None: "
                "Guidance(3.0, unconditional={'label': None}) for a weight of 3"
            )

    def check(self, samples: int, batch: int) -> None:
        """Refuse what has one entry per sample of a batch where there are more samples."""
        given = dict(self.condition)
        if self.guidance is not None:
            given.update(self.guidance.unconditional)
            self.guidance.weights(np.ones(1), samples)
        for name, value in given.items():
            if entries(value) == batch != samples:
                option = "; an option of the network is a tuple" * isinstance(value, list)
                raise ValueError(
                    f"condition {name!r} has {batch} entries, as a batch has, expected "
                    f"{samples}{option}"
                )

    def batch(self, samples: int, start: int, stop: int) -> Denoiser:
        """Return the denoiser of samples start…stop of ``samples``."""
        guidance = self.guidance and self.guidance.batch(samples, start, stop)
        condition = cut(self.condition, samples, start, stop)
        return Denoiser(self.network, self.prediction, condition, guidance, self.learned_variance)

    def split(self, output: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return F and v of a network's output; v is None unless the variance is learned."""
        return halves(output) if self.learned_variance else (output, None)


def halves(output: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and the second half of the channels, axis 1."""
    channels = output.shape[1] if output.ndim > 1 else 1
    if channels % 2:
        raise ValueError(
            f"the network's output has shape {tuple(output.shape)}, expected twice the channels "
            "on axis 1: F and the learned variance"
        )
    return output[:, : channels // 2], output[:, channels // 2 :]
