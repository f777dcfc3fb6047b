# SPDX-License-Identifier: Apache-2.0
"""A trained model on disk: the averaged weights, and what their output means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pydiffcore.data import Span
from pydiffcore.data.array import as_numpy
from pydiffcore.denoiser import Denoiser
from pydiffcore.networks import NETWORKS
from pydiffcore.prediction import Prediction
from pydiffcore.train import checkpoint
from pydiffcore.train.presets import PRESETS, Cell
from pydiffcore.train.shard import whole
from pydiffcore.train.stored import Stored, cell_of, described, stored

if TYPE_CHECKING:  # it needs pydantic, which a model that is loaded does not
    from pydiffcore.train.trainer import Trainer

__all__ = ["Model", "built", "load_model", "save_trained"]


@dataclass(frozen=True)
class Model:
    """A network with its prediction, the shape of one sample, and how it came about.

    Attributes:
        network: in evaluation mode.
        prediction: what its output means.
        shape: of one sample.
        meta: what its file says of it.
        learned_variance: whether its output has a variance behind F.
        span: of data in floating point, None of images: ``span.restored(x0)`` has its units.
        observed: span of the observations that a sample is conditioned on, or None.
        cell: how it was trained, which ``native_plan`` takes; None where that is not known.
    """

    network: nn.Module
    prediction: Prediction
    shape: tuple[int, ...]
    meta: Mapping[str, Any]
    learned_variance: bool = False
    span: Span | None = None
    observed: Span | None = None
    cell: Cell | None = None

    @property
    def classes(self) -> int:
        """Number of classes, 0 where there are none; the label ``classes`` stands for no class."""
        config: Any = self.network.config
        return int(config.get("classes") or 0)

    def denoiser(self, class_labels: Tensor | None = None, *, observation: Any = None) -> Denoiser:
        """Return the denoiser of samples with these conditions.

        Args:
            class_labels: int64 [N], or None.
            observation: [N, O] in the units of the training's data, or None.

        Raises:
            ValueError: the model is conditioned on observations and none came, or others; or the
                reverse.
        """
        condition = {} if class_labels is None else {"class_labels": class_labels}
        if self.observed is None and observation is not None:
            raise ValueError(
                "observation was given, but the model was trained without: expected None"
            )
        if self.observed is not None:
            size = len(self.observed.low)
            if observation is None or as_numpy(observation).shape[1:] != (size,):
                came = None if observation is None else f"of shape {as_numpy(observation).shape}"
                raise ValueError(f"observation is {came}, expected [N, {size}]")
            scaled = torch.from_numpy(self.observed.scaled(as_numpy(observation)))
            condition["observation"] = scaled.to(next(self.network.parameters()).device)
        return Denoiser(
            self.network, self.prediction, condition, learned_variance=self.learned_variance
        )


def save_trained(
    path: str | Path,
    trainer: Trainer,
    average: str | None = None,
) -> None:
    """Write an average of a training as a model, to be sampled from.

    The first rank writes; where the training is sharded all others call this too.

    Args:
        path: its name, without ending.
        trainer: between two steps.
        average: its name; the first of the configuration where None.

    Raises:
        ValueError: the training has no average of this name.
    """
    names = list(trainer.averages)
    name = names[0] if average is None else average
    if name not in names:
        raise ValueError(f"average is {average!r}, expected one of {', '.join(names)}")
    network, config = trainer.averages[name], trainer.config
    own: Any = network.config
    meta = described(
        {"name": config.network_name, **own}, config.model_dump(mode="json"), trainer.shape,
        None if trainer.units is None else asdict(trainer.units), trainer.step, name,
    )  # fmt: skip
    state = whole(network.state_dict(), trainer.ranks)
    if trainer.ranks.first:
        checkpoint.save(path, state, meta)


def _span(units: Mapping[str, Any] | None, name: str) -> Span | None:
    given = (units or {}).get(name)
    return None if given is None else Span(tuple(given["low"]), tuple(given["high"]))


def load_model(path: str | Path, average: str | None = None) -> Model:
    """Read a model that :func:`save_trained` wrote, or a training's average, in evaluation mode.

    Args:
        path: the folder of a training, or the model's or a checkpoint's name with either ending or
            without. Of a training that has no model yet it is the newest whole checkpoint.
        average: which of the training's, "none" for its weights themselves; None for the model's,
            or the first.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the checkpoint is truncated or altered, or holds something else; a folder
            holds no model, or several of which none is called model; there is no such average.
    """
    return built(stored(path, average))


def built(held: Stored) -> Model:
    """Return the model of weights that were read; ValueError where they are none."""
    path, tensors, meta = held.path, held.tensors, held.meta
    try:
        network = dict(meta["network"])
        meaning = dict(meta["prediction"])
        kinds, learned = (network.pop("name"), meaning.pop("name")), meaning["learned_variance"]
        shape = tuple(int(size) for size in meta["shape"])
        span, observed = (_span(meta.get("units"), name) for name in ("span", "observed"))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no model: {error!r} in its JSON") from None
    if kinds[1] not in PRESETS or kinds[0] not in NETWORKS:
        raise ValueError(
            f"{path} holds a model of {kinds}, expected a network of {', '.join(NETWORKS)} and "
            f"the prediction of a preset, {', '.join(PRESETS)}"
        )
    cell = cell_of((meta.get("training") or {}).get("config") or {"preset": kinds[1], **meaning})
    made = NETWORKS[kinds[0]](**network)
    try:
        made.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit its own description: {error}") from None
    made = made.eval().requires_grad_(False)
    return Model(made, cell.prediction, shape, meta, bool(learned), span, observed, cell)
