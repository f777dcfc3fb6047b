# SPDX-License-Identifier: Apache-2.0
"""Weights on disk: those of a model, or an average in a checkpoint of its training.

runs/a                               the model; before there is one, the newest whole checkpoint
runs/a/model                         the model
runs/a/checkpoints                   the newest whole checkpoint
runs/a/checkpoints/step-00000500     that checkpoint
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pydiffcore.train import checkpoint
from pydiffcore.train.cells import PARTS, replaced
from pydiffcore.train.presets import PRESETS, Cell

__all__ = ["RAW", "Stored", "cell_of", "described", "steps_of", "stored"]

NAME = re.compile(r"step-(\d{8})\.json")
RAW = "none"  # in the place of an average's name: the weights themselves

State = dict[str, Tensor]


@dataclass(frozen=True)
class Stored:
    """What a name means.

    Attributes:
        path: of the files, without ending.
        average: whose tensors they are, where the files hold several; "" of a model.
        tensors: of the network, by their names in it.
        meta: what describes them, in the form of a model's file.
        note: what a user should know of the choice, or "".
    """

    path: Path
    average: str
    tensors: State
    meta: Mapping[str, Any]
    note: str = ""


def stored(path: str | Path, average: str | None = None) -> Stored:
    """Read the weights that a name means.

    Args:
        path: the folder of a training or of its checkpoints, a model, or a checkpoint, with either
            ending or without.
        average: its name, "none" for the weights themselves; the model's, or the first of the
            training's, where None.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is truncated or altered; a folder holds nothing, or several models; there is
            no such average.
    """
    path = Path(path)
    stem, tensors, meta, faults = _newest(_stems(path))
    if "config" in meta:
        missing = f"{path} holds no model yet" if (path / "checkpoints").is_dir() else ""
        return _of_training(stem, tensors, meta, average, [missing, *faults])
    own = (meta.get("training") or {}).get("average")
    if average in (None, own):
        return Stored(stem, "", tensors, meta)
    kept = [each for _, each in steps_of(stem.parent)]
    if not kept:
        raise ValueError(
            f"average is {average!r}, but {stem} holds {own!r} alone and there are no checkpoints "
            f"beside it; expected {own!r}"
        )
    stem, tensors, meta, faults = _newest(kept)
    return _of_training(stem, tensors, meta, average, faults)


def _of_training(
    stem: Path, held: State, meta: Mapping[str, Any], average: str | None, faults: list[str]
) -> Stored:
    """Return an average of a training's checkpoint as a model's tensors and description."""
    config = meta["config"]
    names = list(config["averages"])
    name = names[0] if average is None else average
    if name not in (*names, RAW):
        raise ValueError(f"average is {name!r}, expected one of {', '.join(names)}, {RAW}")
    prefix = f"average.{name}/" if name in names else "network/"
    tensors = {k.removeprefix(prefix): t for k, t in held.items() if k.startswith(prefix)}
    about = described(
        meta["network"], config, meta["shape"], meta.get("units"), int(meta["step"]), name
    )
    what = "the weights" if name == RAW else f"average {name!r}"
    note = "; ".join([each for each in faults if each] + [f"{what} after step {meta['step']}"])
    return Stored(stem, name, tensors, about, note)


def described(
    network: Mapping[str, Any],
    config: Mapping[str, Any],
    shape: Sequence[int],
    units: Mapping[str, Any] | None,
    step: int,
    average: str,
) -> dict[str, Any]:
    """Return what a model's file says of it.

    Args:
        network: its name and its constructor's arguments.
        config: the training's, as JSON has it.
        shape, units: of the data.
        step, average: of the training, and which weights these are.
    """
    meaning = {part: config.get(part) for part in ("process", "prediction", "loss")}
    learned = cell_of(config).learned_variance
    return {
        "network": dict(network),
        "prediction": {"name": config["preset"], "learned_variance": learned, **meaning},
        "shape": list(shape),
        "units": units,
        "training": {"config": config, "step": step, "average": average},
    }


def cell_of(config: Mapping[str, Any]) -> Cell:
    """Return the cell of a training's configuration, as JSON has it; KeyError without a preset."""
    names = {name: config.get(name) for name in ("loss", "sampler")}
    return replaced(PRESETS[config["preset"]], {part: config.get(part) for part in PARTS}, **names)


def steps_of(folder: Path) -> list[tuple[int, Path]]:
    """Return (step, path without ending) of every checkpoint of a training, the newest first."""
    return _steps(folder / "checkpoints")


def _steps(folder: Path) -> list[tuple[int, Path]]:
    found = []
    for path in folder.glob("step-*.json"):
        match = NAME.fullmatch(path.name)
        if match:
            found.append((int(match[1]), path.with_suffix("")))
    return sorted(found, reverse=True)


def _newest(stems: Sequence[Path]) -> tuple[Path, State, dict[str, Any], list[str]]:
    """Return the first checkpoint that is whole, and what was wrong with those before it."""
    faults: list[str] = []
    for stem in stems:
        try:
            return stem, *checkpoint.load(stem), faults
        except (ValueError, FileNotFoundError) as error:
            if len(stems) == 1:
                raise
            faults.append(f"left out: {error}")
    raise ValueError(f"{stems[0].parent} holds no whole checkpoint: {'; '.join(faults)}")


def _stems(path: Path) -> list[Path]:
    """Return the names that a path may mean, the best first.

    A checkpoint whose name is also a folder's is the one that is meant.
    """
    files = [path.with_name(f"{path.name}{ending}") for ending in (".json", ".safetensors")]
    if not path.is_dir() or all(file.is_file() for file in files):
        return [path.with_suffix("") if path.suffix in (".json", ".safetensors") else path]
    found = path.glob("*.safetensors")
    names = sorted(f.stem for f in found if not f.stem.endswith(".previous"))
    kept = [each for _, each in (steps_of(path) if not names else _steps(path))]
    if kept and {each.name for each in kept} >= set(names):
        return kept
    if not names and (path / "checkpoints").is_dir():
        raise ValueError(
            f"{path} holds no model yet, nor a checkpoint: its training writes the first after "
            "run.save_every steps, and the same `pydiffcore train` goes on"
        )
    if len(names) != 1 and "model" not in names:
        raise ValueError(
            f"{path} holds the checkpoints {', '.join(names) or '(none)'}; expected one, or one "
            "that is called model"
        )
    return [path / (names[0] if len(names) == 1 else "model")]
