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
from pydiffcore.train.cells import replaced
from pydiffcore.train.presets import PRESETS
from pydiffcore.train.shard import whole

if TYPE_CHECKING:  # it needs pydantic, which a model that is loaded does not
    from pydiffcore.train.trainer import Trainer

__all__ = ["Model", "load_model", "save_trained", "stem_of"]


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
    """

    network: nn.Module
    prediction: Prediction
    shape: tuple[int, ...]
    meta: Mapping[str, Any]
    learned_variance: bool = False
    span: Span | None = None
    observed: Span | None = None

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
    meta = {
        "network": {"name": config.network_name, **own},
        "prediction": {
            "name": config.preset, "learned_variance": trainer.cell.learned_variance,
            "process": config.process, "prediction": config.prediction, "loss": config.loss,
        },
        "shape": list(trainer.shape),
        "units": None if trainer.units is None else asdict(trainer.units),
        "training": {
            "config": config.model_dump(mode="json"), "step": trainer.step, "average": name,
        },
    }  # fmt: skip
    state = whole(network.state_dict(), trainer.ranks)
    if trainer.ranks.first:
        checkpoint.save(path, state, meta)


def _span(units: Mapping[str, Any] | None, name: str) -> Span | None:
    given = (units or {}).get(name)
    return None if given is None else Span(tuple(given["low"]), tuple(given["high"]))


def stem_of(path: str | Path) -> Path:
    """Return the name of a checkpoint that is given as its folder, either file, or that name.

    A checkpoint whose name is also a folder's is the one that is meant.

    Raises:
        ValueError: a folder holds none, or several of which none is called model.
    """
    path = Path(path)
    files = [path.with_name(f"{path.name}{ending}") for ending in (".json", ".safetensors")]
    if not path.is_dir() or all(file.is_file() for file in files):
        return path.with_suffix("") if path.suffix in (".json", ".safetensors") else path
    found = path.glob("*.safetensors")
    names = sorted(f.stem for f in found if not f.stem.endswith(".previous"))
    if not names and (path / "checkpoints").is_dir():
        raise ValueError(
            f"{path} holds no model yet: its training writes one at its end, and the same "
            "`pydiffcore train` goes on"
        )
    if len(names) != 1 and "model" not in names:
        raise ValueError(
            f"{path} holds the checkpoints {', '.join(names) or '(none)'}; expected one, or one "
            "that is called model"
        )
    return path / (names[0] if len(names) == 1 else "model")


def load_model(path: str | Path) -> Model:
    """Read a model that :func:`save_trained` wrote, in evaluation mode.

    Args:
        path: the folder of a training, or the model's name with either ending or without.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the checkpoint is truncated or altered, or holds something else; a folder
            holds no model, or several of which none is called model.
    """
    path = stem_of(path)
    tensors, meta = checkpoint.load(path)
    try:
        network = dict(meta["network"])
        meaning = dict(meta["prediction"])
        kinds, learned = (network.pop("name"), meaning.pop("name")), meaning["learned_variance"]
        shape = tuple(int(size) for size in meta["shape"])
        units = [_span(meta.get("units"), name) for name in ("span", "observed")]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no model: {error!r} in its JSON") from None
    if kinds[1] in PRESETS and kinds[0] in NETWORKS:
        given = {part: meaning.get(part) for part in ("process", "prediction")}
        cell = replaced(PRESETS[kinds[1]], given, loss=meaning.get("loss"))
        prediction = cell.prediction
    else:
        raise ValueError(
            f"{path} holds a model of {kinds}, expected a network of {', '.join(NETWORKS)} and "
            f"the prediction of a preset, {', '.join(PRESETS)}"
        )
    made = NETWORKS[kinds[0]](**network)
    try:
        made.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit its own description: {error}") from None
    return Model(made.eval().requires_grad_(False), prediction, shape, meta, bool(learned), *units)
