# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a training: the newest that is whole is resumed, old ones are dropped.

checkpoints/step-00000500.json, .safetensors      weights, averages, moments, position, config
snapshots/step-00000500-NAME.safetensors, .json   an average alone, for widths chosen later
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pydiffcore import __version__
from pydiffcore.train import checkpoint
from pydiffcore.train.average import Power
from pydiffcore.train.shard import placed, whole
from pydiffcore.train.stored import steps_of
from pydiffcore.train.trainer import Trainer

__all__ = ["resumed", "save", "steps_of"]


def save(folder: Path, trainer: Trainer, keep: int) -> Path:
    """Write a checkpoint of a training between two steps; drop all but the newest ``keep``.

    The first rank writes; where the training is sharded all others call this too.

    Raises:
        OSError: the disk is full, or cannot be written; what was there before is still whole.

    """
    path = folder / "checkpoints" / f"step-{trainer.step:08d}"
    held = whole(tensors(trainer), trainer.ranks)
    if not trainer.ranks.first:
        return path
    for name, kind in trainer.config.kinds.items():  # first: no step is resumed without its own
        if isinstance(kind, Power):
            place = folder / "snapshots" / f"step-{trainer.step:08d}-{name}"
            about = {"width": kind.width, "step": trainer.step - trainer.skipped}
            checkpoint.save(place, under(f"average.{name}/", held), about)
    checkpoint.save(path, held, described(trainer))
    # Those of later steps were damaged, or this training would have gone on from there.
    older = [old for step, old in steps_of(folder) if step <= trainer.step]
    for old in older[keep:]:
        for ending in checkpoint.ENDINGS:
            old.with_name(old.name + ending).unlink(missing_ok=True)
    return path


def resumed(folder: Path, trainer: Trainer) -> tuple[int, list[str]]:
    """Load the newest checkpoint that is whole.

    Returns:
        The step it was made at, 0 where there is none, and what was wrong with newer ones.

    Raises:
        ValueError: it was made with a configuration that is not this one.

    """
    faults: list[str] = []
    for step, path in steps_of(folder):
        try:
            found, meta = checkpoint.load(path)
        except (ValueError, FileNotFoundError) as error:
            faults.append(str(error))
            continue
        _same(meta, trainer, path)
        _restore(found, meta, trainer)
        return step, faults
    return 0, faults


def tensors(trainer: Trainer) -> dict[str, Tensor]:
    """Return every tensor of a training by a name; sharded where the training is."""
    parts: dict[str, Any] = {"network": trainer.network.state_dict()}
    parts |= {f"average.{name}": each.state_dict() for name, each in trainer.averages.items()}
    if trainer.head is not None:
        parts["head"] = trainer.head.state_dict()
    if trainer.resampler is not None:
        parts["resampler"] = trainer.resampler.state_dict()
    for place, moments in trainer.optimiser.state_dict()["state"].items():
        parts[f"optimiser.{place}"] = {
            name: value if isinstance(value, Tensor) else torch.tensor(value)
            for name, value in moments.items()
        }
    return {f"{part}/{name}": t for part, held in parts.items() for name, t in held.items()}


def described(trainer: Trainer) -> dict[str, Any]:
    """Return what is no tensor, as JSON has it."""
    return {
        "config": json.loads(trainer.config.model_dump_json()),
        "network": {"name": trainer.config.network_name, **_plain(trainer.network)},
        "shape": list(trainer.shape),
        "classes": trainer.classes,
        "images": trainer.images,
        "units": None if trainer.units is None else json.loads(json.dumps(asdict(trainer.units))),
        "fingerprint": trainer.fingerprint,
        "step": trainer.step,
        "skipped": trainer.skipped,
        "in_a_row": trainer.in_a_row,
        "scaler": trainer.scaler.state_dict(),
        "versions": {"pydiffcore": __version__, "torch": torch.__version__},
    }


def _plain(network: Any) -> dict[str, Any]:
    return dict(json.loads(json.dumps(dict(network.config))))


def _same(meta: dict[str, Any], trainer: Trainer, path: Path) -> None:
    """Refuse a checkpoint of another training; what changes no number may differ."""
    now = described(trainer)
    facts = ("shape", "classes", "network", "images", "units")
    known = [name for name in facts if None not in (meta.get(name), now[name])]
    changed = [each for name in known for each in _changed(name, meta[name], now[name])]
    if changed:
        raise ValueError(f"{path} was made by another training: {'; '.join(changed)}")
    seen = (meta.get("fingerprint"), now["fingerprint"])
    if None not in seen and seen[0] != seen[1] and not trainer.config.data.changed:
        raise ValueError(
            f"{path} was made of other samples: data.source has as many of the same shape, but not "
            "those; expected the same, or data.changed = true"
        )
    then, here = _numbers(meta["config"]), _numbers(now["config"])
    fields = sorted(then.keys() | here.keys())
    changed = [
        each for field in fields for each in _changed(field, then.get(field), here.get(field))
    ]
    if changed:
        raise ValueError(f"{path} was made with another configuration: {'; '.join(changed)}")


def _changed(name: str, then: Any, here: Any) -> Iterator[str]:
    """Yield what differs, a table's fields by their own names."""
    if isinstance(then, dict) and isinstance(here, dict):
        for field in sorted(then.keys() | here.keys()):
            yield from _changed(f"{name}.{field}", then.get(field), here.get(field))
    elif then != here:
        yield f"{name} was {then!r}, now it is {here!r}"


def _numbers(config: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a training's numbers depend on, one per name."""
    flat: dict[str, Any] = {}
    for section, fields in config.items():
        inner = fields.items() if isinstance(fields, dict) else [("", fields)]
        flat |= {f"{section}.{name}".rstrip("."): value for name, value in inner}
    free = {name for name in flat if name.startswith("run.")} - {"run.seed"}
    free |= {"data.workers", "data.source", "data.codec"}  # the images may have moved
    free |= {"data.changed", "recipe"}  # what a recipe leaves is in the other fields
    if config["optimiser"]["rate"]["kind"] == "cosine":
        free -= {"run.images"}  # a cosine's end
    return {name: value for name, value in flat.items() if name not in free}


def _restore(found: dict[str, Tensor], meta: dict[str, Any], trainer: Trainer) -> None:
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in found.items():
        part, _, rest = name.partition("/")
        parts.setdefault(part, {})[rest] = tensor
    _load(trainer.network, parts["network"])
    for name, average in trainer.averages.items():
        _load(average, parts[f"average.{name}"])
    if trainer.head is not None:
        trainer.head.load_state_dict(parts["head"])
    if trainer.resampler is not None:
        trainer.resampler.load_state_dict(parts["resampler"])
    moments = {part: held for part, held in parts.items() if part.startswith("optimiser.")}
    _take(trainer.optimiser, moments)
    if trainer.scaler.is_enabled() and meta["scaler"]:
        trainer.scaler.load_state_dict(meta["scaler"])
    trainer.step, trainer.skipped = int(meta["step"]), int(meta["skipped"])
    trainer.in_a_row = int(meta["in_a_row"])


def _load(module: nn.Module, found: dict[str, Tensor]) -> None:
    """Load a state, of which a module that is sharded takes its part."""
    own = module.state_dict()
    state = {name: placed(t, own[name]) if name in own else t for name, t in found.items()}
    module.load_state_dict(state)


def _take(optimiser: torch.optim.Optimizer, found: dict[str, dict[str, Tensor]]) -> None:
    """Load the moments, of which each rank takes those of its own weights."""
    description = optimiser.state_dict()
    (weights,) = [group["params"] for group in optimiser.param_groups]
    moments: dict[int, dict[str, Tensor]] = {}
    for part, held in found.items():
        place = int(part.split(".")[1])
        parameter = weights[place]
        moments[place] = {
            name: placed(moment, parameter) if moment.shape == parameter.shape else moment
            for name, moment in held.items()
        }
    optimiser.load_state_dict({"state": moments, "param_groups": description["param_groups"]})
    for parameter, state in optimiser.state.items():
        for name, moment in state.items():
            if isinstance(moment, Tensor) and moment.shape == parameter.shape:
                # A fused optimiser goes over memory: in the order of the weight's, not of the file.
                state[name] = torch.empty_like(parameter, dtype=moment.dtype).copy_(moment)


def under(prefix: str, held: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, by the rest of their names."""
    return {name[len(prefix) :]: t for name, t in held.items() if name.startswith(prefix)}
