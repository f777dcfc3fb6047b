# SPDX-License-Identifier: Apache-2.0
"""The network of a training, made to fit the samples."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from pydiffcore.networks import NETWORKS
from pydiffcore.train.config import Config

__all__ = ["network_of"]

SPREAD = 0.3  # of ln(σ)/4 under EDM's law, which the frequencies of unet are made for
STEPS = 29.0  # of time steps 0 … 99, all as likely, which those of unet1d are made for
FORMS = {"mlp": "[D]", "unet1d": "[T, A]"}  # of one sample; those of all others are images


def network_of(
    config: Config, shape: tuple[int, ...], classes: int, observations: int = 0
) -> nn.Module:
    """Return the network of a configuration for samples of a shape, its weights of the run's seed.

    The shape is [C, H, W] of images, [D] of vectors (mlp), [T, A] of sequences (unet1d), which
    may be conditioned on vectors of ``observations`` numbers.

    Raises:
        ValueError: the options do not fit the network or the samples.

    """
    name, options = config.network_name, dict(config.network.options)
    form = FORMS.get(name, "[C, H, W]")
    if len(shape) != form.count(",") + 1:
        raise ValueError(
            f"shape is {shape}, but network.name is {name!r}, which takes samples of {form}: "
            f"expected {_fitting(len(shape))}"
        )
    if observations and name != "unet1d":
        raise ValueError(
            f"network.name is {name!r}, which takes no observations; expected 'unet1d', or data "
            "without them"
        )
    if name == "mlp":
        options = {"features": shape[0], "bandwidth": 1 / _spread(config)} | options
    elif name == "unet1d":
        own = {"actions": shape[1], "observations": observations, "scale": STEPS / _spread(config)}
        options = own | options
    else:
        options.setdefault("channels", shape[0])
    if name == "unet":
        options.setdefault("scale", SPREAD / _spread(config))
    if name == "refinenet":
        options.setdefault("levels", 0)  # NCSN v2: told no level, its output counts sigma·score
    if name != "unet1d":
        options.setdefault("classes", max(classes, 1) if name == "unet" else classes)
    if name in ("ddpmpp", "ncsnpp", "adm", "edm2"):
        options.setdefault("size", shape[-1])
    if config.cell.learned_variance:
        options["learned_variance"] = True
    if config.data.augment:
        options["augmentation"] = 9
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.run.seed)
        try:
            return NETWORKS[name](**options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"network.options of {name}: {error}") from None


def _fitting(dimensions: int) -> str:
    """Return the networks that take samples of so many dimensions."""
    if dimensions == 3:
        return ", ".join(name for name in NETWORKS if name not in FORMS)
    known = {form.count(",") + 1: name for name, form in FORMS.items()}
    return known.get(dimensions, "samples of [D], [T, A] or [C, H, W]")


def _spread(config: Config) -> float:
    """Return the standard deviation of c_noise over the law: of a logarithm, a time or an index."""
    u = (np.arange(256) + 0.5) / 256
    c_noise = config.cell.prediction.coefficients(config.cell.law.quantile(u))[3]
    return float(c_noise.std())
