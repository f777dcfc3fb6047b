# SPDX-License-Identifier: Apache-2.0
"""A whole training: data, steps, checkpoints, log; ended by the last image, a signal or a fault."""

from __future__ import annotations

import errno
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pydiffcore.atomic import write_atomically
from pydiffcore.data import Loader, Numbers, fingerprint
from pydiffcore.data.source import Source
from pydiffcore.train.config import Config
from pydiffcore.train.ranks import Ranks, started
from pydiffcore.train.stop import StopSignal
from pydiffcore.train.storage import resumed, save
from pydiffcore.train.trainer import BANDS, Report, Trainer

__all__ = ["Outcome", "run", "trainer_of"]


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        trainer: its state.
        finished: whether all images were seen.
        saved: whether the last step is on disk.
        signal: the name of what stopped it, or "".

    """

    trainer: Trainer
    finished: bool
    saved: bool
    signal: str = ""


@dataclass
class Window:
    """Losses since the last line of the log."""

    steps: int = 0
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(BANDS.names)))
    counts: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(BANDS.names)))
    began: float = field(default_factory=time.perf_counter)

    def add(self, report: Report) -> None:
        """Take a step in."""
        self.steps += 1
        if not report.skipped:
            self.losses.append(report.loss)
            self.norms.append(report.norm)
            self.sums += report.sums
            self.counts += report.counts

    def line(self, report: Report, batch: int, skipped: int) -> dict[str, Any]:
        """Return a line of the log; a band without a sample has no loss."""
        seconds = time.perf_counter() - self.began
        bands = zip(BANDS.names, self.sums, self.counts, strict=True)
        return {
            "step": report.step,
            "images": report.step * batch,
            "loss": float(np.mean(self.losses)) if self.losses else None,
            "norm": float(np.mean(self.norms)) if self.norms else None,
            "rate": report.rate,
            "skipped": skipped,
            "images_per_second": self.steps * batch / max(seconds, 1e-9),
            "loss_by_level": {name: s / c for name, s, c in bands if c},
        }


Watcher = Callable[[Trainer, dict[str, Any]], None]


def run(
    config: Config,
    source: Source,
    folder: Path,
    ranks: Ranks | None = None,
    *,
    echo: Callable[[str], None] = print,
    watch: Watcher | None = None,
    begin: Callable[[Trainer], None] | None = None,
    tick: Callable[[Report], None] | None = None,
) -> Outcome:
    """Train, or go on where the newest whole checkpoint of the folder ends.

    Args:
        config: what to do.
        source: images, or numbers.
        folder: gets config.json, log.jsonl, checkpoints/ and snapshots/.
        ranks: this process among all; None starts it on ``run.device``.
        echo: called with what a user should know; on the first rank alone.
        watch: called with every line of the log; on the first rank alone, or with ``run.shard``
            on all, which must then call a network together.
        begin: called once, before the first step that is done; on the first rank alone.
        tick: called after every step; on the first rank alone.

    Raises:
        ValueError: the folder holds a training with another configuration or of other samples, or
            one that has seen more than ``run.images``.
        FloatingPointError: gradients stopped being finite; the last good checkpoint is there.

    """
    if ranks is None:
        with started(config.run.device) as here:
            return run(config, source, folder, here, echo=echo, watch=watch, begin=begin, tick=tick)
    trainer = trainer_of(config, source, ranks)
    step, faults = resumed(folder, trainer)
    steps = ranks.gathered(torch.tensor([step], device=ranks.device)).tolist()
    if len(set(steps)) > 1:
        raise ValueError(
            f"{folder} has the newest whole checkpoint at steps {steps} for the processes 0, 1, …: "
            "all must see the same folder"
        )
    _refuse_past(config, folder, step)
    if ranks.first:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(config.model_dump_json(indent=1) + "\n")
        _cut(folder / "log.jsonl", step)
        for fault in faults:
            echo(f"left out: {fault}")
        if step:
            echo(_standing(config, step))
        if begin is not None:
            begin(trainer)
    with StopSignal() as stop, closing(_loader(trainer, source)) as loader:
        for report in _steps(trainer, loader, folder, echo, watch):
            if ranks.first and tick is not None:
                tick(report)
            if ranks.any(stop.received is not None):
                saved = _save(trainer, folder, echo)
                name = "a signal to another rank" if stop.received is None else stop.received.name
                return Outcome(trainer, report.step >= config.steps, saved, name)
    return Outcome(trainer, True, _save(trainer, folder, echo))


def _standing(config: Config, step: int) -> str:
    """Return what is said of a training that is taken up."""
    if step < config.steps:
        return f"going on after step {step}"
    return f"nothing to do: step {step} was the last of run.images = {config.run.images}"


def _refuse_past(config: Config, folder: Path, step: int) -> None:
    """Refuse a step that is past the last one."""
    if step > config.steps:
        raise ValueError(
            f"run.images is {config.run.images}, which are {config.steps} steps, but {folder} is "
            f"at step {step} already: expected more than {step * config.optimiser.batch} images "
            "to go on, or another folder"
        )


def trainer_of(config: Config, source: Source, ranks: Ranks) -> Trainer:
    """Return a training of a source that has done no step.

    Raises:
        ValueError: the configuration does not fit what the source holds.
    """
    units = None
    if source.classes and config.data.labels and config.network_name == "unet1d":
        raise ValueError("data.labels is true, but unet1d takes no classes; expected false")
    if isinstance(source, Numbers):
        for name in ("mirror", "augment"):
            if value := getattr(config.data, name):
                raise ValueError(f"data.{name} is {value}, but {source.where} holds no images in "
                                 "uint8; expected none of it")  # fmt: skip
        units = source.units
    return Trainer(
        config, source.shape, source.classes, ranks, len(source), units, fingerprint(source)
    )


def _loader(trainer: Trainer, source: Source) -> Loader:
    """Return the batches of this rank from where the training stands."""
    config, ranks = trainer.config, trainer.ranks
    batch = config.optimiser.batch
    return Loader(
        source, batch=batch, seed=config.run.seed, position=trainer.step * batch,
        rank=ranks.rank, ranks=ranks.count, workers=config.data.workers,
        pin=ranks.device.type == "cuda",
    )  # fmt: skip


def _steps(
    trainer: Trainer,
    loader: Loader,
    folder: Path,
    echo: Callable[[str], None],
    watch: Watcher | None,
) -> Iterator[Report]:
    config, window = trainer.config, Window()
    while trainer.step < config.steps:
        report = trainer.advance(next(loader))
        window.add(report)
        if report.step % config.run.log_every == 0 or report.step == config.steps:
            line = window.line(report, config.optimiser.batch, trainer.skipped)
            window = Window()
            for note in (partial(_write, folder), watch):
                try:
                    if note is not None and (trainer.ranks.first or config.run.shard):
                        note(trainer, line)
                except OSError as error:
                    echo(f"step {report.step} is not in the log: {error}; the training goes on")
        if report.step % config.run.save_every == 0 and report.step < config.steps:
            _save(trainer, folder, echo)
        yield report


def _write(folder: Path, trainer: Trainer, line: dict[str, Any]) -> None:
    """Append a line to the log, whole or not at all."""
    if not trainer.ranks.first:
        return
    with open(folder / "log.jsonl", "ab", buffering=0) as file:
        before = file.tell()
        try:
            content = json.dumps(line).encode() + b"\n"
            if file.write(content) != len(content):
                raise OSError(errno.ENOSPC, "a line was written in part", str(file.name))
        except OSError:
            file.truncate(before)
            raise


def _save(trainer: Trainer, folder: Path, echo: Callable[[str], None]) -> bool:
    """Write a checkpoint; a disk that is full costs this one, and the training goes on."""
    failed = False
    try:
        save(folder, trainer, trainer.config.run.keep)
    except OSError as error:
        failed = True
        echo(f"step {trainer.step} is not saved: {error}")
    return not trainer.ranks.any(failed)


def _cut(log: Path, step: int) -> None:
    """Drop the lines of steps that will be done again, and what a crash left of a line."""
    if log.exists():
        lines = log.read_bytes().splitlines(keepends=True)
        write_atomically(log, b"".join(line for line in lines if _step(line) <= step))


def _step(line: bytes) -> float:
    """Return the step of a line of the log; infinity where it is none."""
    try:
        return float(json.loads(line)["step"]) if line.endswith(b"\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf
