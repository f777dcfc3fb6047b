# SPDX-License-Identifier: Apache-2.0
"""A trained model on disk: the averaged weights, and what their output means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pydiffcore.denoiser import Denoiser
from pydiffcore.networks.unet import UNet
from pydiffcore.prediction import Prediction, edm
from pydiffcore.train import checkpoint

__all__ = ["Model", "load_model", "save_model"]


@dataclass(frozen=True)
class Model:
    """A network with its prediction, the shape of one sample, and how it came about."""

    network: UNet
    prediction: Prediction
    shape: tuple[int, ...]
    meta: Mapping[str, Any]

    def denoiser(self, class_labels: Tensor | None = None) -> Denoiser:
        """Return the denoiser of samples with these labels, int64 [N], or of none."""
        condition = {} if class_labels is None else {"class_labels": class_labels}
        return Denoiser(self.network, self.prediction, condition)


def save_model(
    path: str | Path,
    network: UNet,
    *,
    sigma_data: float,
    shape: tuple[int, ...],
    training: Mapping[str, Any],
) -> None:
    """Write weights and meaning as a checkpoint.

    Args:
        path: its name, without ending.
        network: the network, normally the averaged one.
        sigma_data: of the EDM prediction it was trained with.
        shape: of one sample.
        training: how it came about, as JSON has it; for the reader only.
    """
    meta = {
        "network": {"name": "unet", **network.config},
        "prediction": {"name": "edm", "sigma_data": sigma_data},
        "shape": list(shape),
        "training": dict(training),
    }
    checkpoint.save(path, network.state_dict(), meta)


def load_model(path: str | Path) -> Model:
    """Read a model that :func:`save_model` wrote, in evaluation mode.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the checkpoint is truncated or altered, or holds something else.
    """
    tensors, meta = checkpoint.load(path)
    try:
        network = dict(meta["network"])
        meaning = dict(meta["prediction"])
        kinds = (network.pop("name"), meaning.pop("name"))
        shape = tuple(int(size) for size in meta["shape"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no model: {error!r} in its JSON") from None
    if kinds != ("unet", "edm"):
        raise ValueError(f"{path} holds a model of {kinds}, expected ('unet', 'edm')")
    unet = UNet(**network)
    try:
        unet.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit its own description: {error}") from None
    return Model(unet.eval().requires_grad_(False), edm(**meaning), shape, meta)
