# SPDX-License-Identifier: Apache-2.0
"""A training as data: a TOML file, overrides of single fields, and everything refused at once.

    preset = "edm"
    [data]
    source = "cifar.zip"
    [optimiser]
    batch = 512
    rate = { peak = 1e-3, warmup = 5000 }

Fields are checked by pydantic, which names the field, what came and what is permitted.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pydiffcore.networks import NETWORKS
from pydiffcore.train import recipes
from pydiffcore.train.arguments import checked, taken
from pydiffcore.train.average import Average, Fixed, HalfLife, InversePower, Power
from pydiffcore.train.cells import PARTS, replaced
from pydiffcore.train.faults import said
from pydiffcore.train.native import CHOICES
from pydiffcore.train.presets import LOSSES, PRESETS, Cell
from pydiffcore.train.rates import Rate
from pydiffcore.train.together import check_together

if sys.version_info >= (3, 11):
    import tomllib
else:  # the same parser, under the name that it had before
    import tomli as tomllib

__all__ = ["Config", "configured"]

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
AVERAGE = re.compile(r"[A-Za-z0-9_.-]+")  # part of the names of files, and of tensors before a /
AVERAGES = {"fixed": Fixed, "half_life": HalfLife, "inverse_power": InversePower, "power": Power}


class Section(BaseModel):
    """Frozen, without fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Data(Section):
    """What is learned: see pydiffcore.data.open_source for ``source`` and ``skip_corrupt``."""

    source: str = "digits"
    labels: bool = True
    mirror: bool = False
    augment: Share = 0.0  # probability of each non-leaking transformation
    label_dropout: Share = 0.1
    skip_corrupt: bool = False
    workers: Annotated[int, Field(ge=0, le=256)] = 2
    changed: bool = False  # go on where a checkpoint saw other samples
    codec: str | None = None  # a folder of diffusers' AutoencoderKL, which decodes grids of latents


class Network(Section):
    """A network of ``NETWORKS`` and arguments of its constructor; None is the preset's."""

    name: Literal[tuple(NETWORKS)] | None = None  # type: ignore[valid-type]
    options: dict[str, Any] = {}


class Optimiser(Section):
    """Adam, what it is fed and how numbers are kept."""

    batch: Count = 128  # images per step, over all ranks
    accumulate: Count = 1  # parts that a rank's images are worked through in
    rate: Rate = Rate()
    betas: tuple[Share, Share] = (0.9, 0.99)
    eps: Positive = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip: Positive | None = None  # norm of all gradients
    precision: Literal["float32", "bfloat16", "float16"] = "float32"


class Run(Section):
    """How long, how often, where."""

    images: Count = 200_000  # seen in all
    seed: Annotated[int, Field(ge=0, lt=2**24)] = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    save_every: Count = 500  # steps
    keep: Count = 3  # checkpoints
    log_every: Count = 50
    sample_every: Annotated[int, Field(ge=0)] = 0  # 0: at the end only
    samples: Annotated[int, Field(ge=1, le=1024)] = 64
    sample_steps: Annotated[int, Field(ge=1)] | None = None  # of the preset's own sampler
    patience: Count = 20  # steps in a row whose gradients are not finite
    shard: bool = False  # weights, moments and averages in parts on all ranks
    compile: bool = False  # torch.compile of the network in training
    channels_last: bool = False  # weights and images in memory as [B, H, W, C]

    def steps_of(self, cell: Cell) -> int:
        """Return ``sample_steps``; where it is None 50, or as many as the cell's table has."""
        return self.sample_steps or min(50, cell.process.size or 50)


class Config(Section):
    """A training.

    Attributes:
        preset: the cell of the design space, of ``PRESETS``.
        recipe: "paper" for the optimiser, averages and length of the preset's paper, where they are
            not given; "plain" for the defaults here, which suit a short run of any preset.
        process, prediction, weight, law: replace the cell's, as {"name": "p2", "gamma": 1.0}; who
            gives a process gives its prediction too, and its law unless the table's entries are
            all that can be drawn (``importance``, or a loss with a bound).
        loss, sampler: replace the cell's, of LOSSES and of ``native_plan``.
        huber: c of a pseudo-Huber loss in place of the square; of loss "denoising" alone.
        scales: largest weight of the error's frequencies, of images; of loss "denoising" alone.
        importance: draw a table's levels by their losses' second moments (iDDPM).
        averages: of the weights, as {"ema": {"kind": "half_life", "images": 5e5}}; the first is
            what is sampled from.

    """

    preset: Literal[tuple(PRESETS)] = "edm"  # type: ignore[valid-type]
    recipe: Literal["plain", "paper"] = "plain"
    process: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    weight: dict[str, Any] | None = None
    law: dict[str, Any] | None = None
    loss: Literal[LOSSES] | None = None  # type: ignore[valid-type]
    sampler: Literal[tuple(CHOICES)] | None = None  # type: ignore[valid-type]
    huber: Positive | None = None
    scales: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    importance: bool = False
    data: Data = Data()
    network: Network = Network()
    optimiser: Optimiser = Optimiser()
    averages: Annotated[dict[str, dict[str, Any]], Field(min_length=1)] = {
        name: dict(each) for name, each in recipes.AVERAGES.items()
    }
    run: Run = Run()

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, content: Any) -> Any:
        return recipes.filled(content) if isinstance(content, Mapping) else content

    @model_validator(mode="after")
    def _whole(self) -> Config:
        """Make everything once, so that nonsense is found here and not at the first step."""
        asked = ["prediction"] if self._entries_alone else ["prediction", "law"]
        if self.process is not None and any(getattr(self, part) is None for part in asked):
            raise ValueError(
                f"process is given: expected {' and '.join(asked)} as well, since the preset "
                f"{self.preset!r} has its own for its own process"
            )
        cell, _ = self.cell, self.kinds
        CHOICES[cell.sampler](cell, self.run.steps_of(cell))  # refuses what it cannot draw from
        if self.importance and cell.process.size is None:
            raise ValueError(
                f"importance is true, but {cell.process.name} has no table of levels; expected a "
                "preset that has: ddpm, iddpm"
            )
        if self.importance and self.law is not None:
            raise ValueError("law is given, but importance = true draws the levels: expected one")
        if cell.loss in ("hybrid", "vlb") and cell.law.levels is None:
            raise ValueError(
                f"law is {cell.law.name}, expected levels of {cell.process.name}, as "
                "discrete_uniform draws, for the bound of this preset"
            )
        name, parts = self.network_name, self.optimiser
        checked("network.options", name, NETWORKS[name], self.network.options)
        if cell.learned_variance and "learned_variance" not in taken(NETWORKS[name]):
            raise ValueError(f"network.name is {name!r}, which cannot learn a variance for "
                             f"preset {self.preset!r}; expected adm, dit or mlp")  # fmt: skip
        if parts.batch % parts.accumulate:
            raise ValueError(
                f"optimiser.accumulate is {parts.accumulate}, expected a divisor of "
                f"optimiser.batch, {parts.batch}"
            )
        if self.run.shard and parts.precision == "float16":
            raise ValueError(
                "run.shard is true, but with optimiser.precision 'float16' each rank would find "
                "another loss scale; expected float32 or bfloat16"
            )
        if self.data.mirror and name in ("mlp", "unet1d"):
            raise ValueError(f"data.mirror is true, but {name} takes no images; expected false")
        if self.data.augment and name not in ("ddpmpp", "ncsnpp"):
            raise ValueError(f"data.augment is {self.data.augment}, but {name} is not told of "
                             "augmentation; expected network.name ddpmpp or ncsnpp")  # fmt: skip
        check_together(self)
        return self

    @property
    def network_name(self) -> str:
        """The network's name, the preset's where none was given."""
        return self.network.name or PRESETS[self.preset].network

    @property
    def cell(self) -> Cell:
        """The cell of the preset with what replaces its parts."""
        names = {"loss": self.loss, "sampler": self.sampler}
        return replaced(PRESETS[self.preset], self.parts, **names)

    @property
    def parts(self) -> dict[str, dict[str, Any] | None]:
        """What replaces the preset's process, prediction, weight and law."""
        return {part: getattr(self, part) for part in PARTS}

    @property
    def _entries_alone(self) -> bool:
        """Whether nothing but the entries of a table can be trained at: then no law is asked."""
        return self.importance or (self.loss or PRESETS[self.preset].loss) in ("hybrid", "vlb")

    @property
    def kinds(self) -> dict[str, Average]:
        """The kinds of averages by their names."""
        made: dict[str, Average] = {}
        for name, given in self.averages.items():
            if not AVERAGE.fullmatch(name):
                raise ValueError(f"averages has the name {name!r}, expected letters, digits and "
                                 "any of _.-")  # fmt: skip
            rest = dict(given)
            kind = rest.pop("kind", None)
            if kind not in AVERAGES:
                raise ValueError(f"averages.{name}.kind is {kind!r}, expected one of "
                                 f"{', '.join(AVERAGES)}")  # fmt: skip
            checked(f"averages.{name}", f"kind {kind!r}", AVERAGES[kind], rest)
            try:
                made[name] = AVERAGES[kind](**rest)
            except (TypeError, ValueError) as error:
                raise ValueError(f"averages.{name}: {error}") from None
        return made

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return -(-self.run.images // self.optimiser.batch)


def configured(
    path: str | Path | None = None, overrides: Sequence[str] = (), **fields: Any
) -> Config:
    """Return the configuration of a file, of fields, and of overrides, the later ones first.

    Args:
        path: a TOML file, or None.
        overrides: ``section.field=value``, the value as TOML has it, a bare word as a string.
        **fields: top-level fields, as preset="edm".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a field is unknown or its value not permitted; the message has one line each.

    """
    content: dict[str, Any] = {}
    if path is not None:
        try:
            content = tomllib.loads(Path(path).read_text("utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path} is no valid TOML: {error}") from None
    content |= copy.deepcopy(fields)  # which overrides go into
    for override in overrides:
        _override(content, override)
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        faults = (said(each, Config) for each in error.errors())
        raise ValueError("; ".join(faults)) from None


def _override(content: dict[str, Any], override: str) -> None:
    """Set one field of nested tables."""
    name, sign, text = override.partition("=")
    if not sign or not name:
        raise ValueError(f"override is {override!r}, expected section.field=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word
    *tables, field = name.strip().split(".")
    inner = content
    for table in tables:
        inner = inner.setdefault(table, {})
        if not isinstance(inner, dict):
            raise ValueError(f"override is {override!r}, but {table} is no table")
    inner[field] = value
