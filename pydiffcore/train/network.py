# SPDX-License-Identifier: Apache-2.0
"""The network of a training, made to fit the samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pydiffcore.networks import NETWORKS
from pydiffcore.train.config import Config
from pydiffcore.train.fit import fitted, refuse_sizes

__all__ = ["fitted_to", "network_of"]

SPREAD = 0.3  # of ln(σ)/4 under EDM's law, which the frequencies of unet are made for
STEPS = 29.0  # of time steps 0 … 99, all as likely, which those of unet1d are made for
FORMS = {"mlp": "[D]", "unet1d": "[T, A]"}  # of one sample; those of all others are images


def network_of(
    config: Config, shape: tuple[int, ...], classes: int, observations: int = 0
) -> nn.Module:
    """Return the network of a configuration for samples of a shape, its weights of the run's seed.

    The shape is [C, H, W] of images, [D] of vectors (mlp), [T, A] of sequences (unet1d), which
    may be conditioned on vectors of ``observations`` numbers.  Options that were not given fit the
    samples, see ``fit``.

    Raises:
        ValueError: the options do not fit the network or the samples.

    """
    name = config.network_name
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
    options = fitted_to(config, shape) | config.network.options
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
            network = NETWORKS[name](**options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"network.options of {name}: {error}") from None
    made: Any = network.config
    refuse_sizes(name, made, shape)
    if name == "refinenet":
        _refuse_levels(config, made["levels"])
    return network


def fitted_to(config: Config, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the network's options that nobody gave and that are not its paper's defaults.

    Raises:
        ValueError: the samples have a size that none fit.

    """
    digits = config.data.source == "digits"
    return fitted(config.network_name, shape, config.network.options, digits=digits)


def _fitting(dimensions: int) -> str:
    """Return the networks that take samples of so many dimensions."""
    if dimensions == 3:
        return ", ".join(name for name in NETWORKS if name not in FORMS)
    known = {form.count(",") + 1: name for name, form in FORMS.items()}
    return known.get(dimensions, "samples of [D], [T, A] or [C, H, W]")


def _refuse_levels(config: Config, levels: int) -> None:
    """Refuse levels of a RefineNet that are not the indices which its training tells it."""
    told = np.round(_c_noise(config))
    if levels and not (told.min() >= 0 and told.max() < levels):
        raise ValueError(
            f"network.options.levels is {levels}, but prediction {config.cell.prediction.name} "
            f"tells the network numbers from {told.min():g} to {told.max():g}: expected 0, or a "
            f"prediction that tells indices up to {levels - 1}, as {{name = 'ncsn', n = {levels}}}"
        )


def _c_noise(config: Config) -> NDArray[np.float64]:
    """Return c_noise at evenly spread quantiles of the law, the ends among them."""
    u = np.concatenate([(np.arange(256) + 0.5) / 256, [1e-6, 1 - 1e-6]])
    found = config.cell.prediction.coefficients(config.cell.law.quantile(u))[3]
    return np.asarray(found, np.float64)


def _spread(config: Config) -> float:
    """Return the standard deviation of c_noise over the law: of a logarithm, a time or an index."""
    return float(_c_noise(config)[:-2].std())
