# SPDX-License-Identifier: Apache-2.0
"""The command ``pydiffcore train``: any cell of the design space, watched, stopped, taken up."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydiffcore.cli.grids import Grids
    from pydiffcore.data.source import Source
    from pydiffcore.train.config import Config
    from pydiffcore.train.footprint import Footprint
    from pydiffcore.train.ranks import Ranks
    from pydiffcore.train.trainer import Report, Trainer

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        "train",
        help="train a network: DDPM, NCSN, score SDE, EDM, flow, or anything between",
        description="Train, or go on where the newest whole checkpoint of the folder ends. Ctrl-C "
        "and SIGTERM save first. On several GPUs or processes: torchrun --nproc-per-node=N -m "
        "pydiffcore train ...",
    )
    add = command.add_argument
    add("config", nargs="?", metavar="CONFIG.toml", help="a file; without it the preset alone")
    add("--preset", metavar="NAME", help="ddpm, iddpm, ncsn, ncsnpp-ve, ddpmpp-vp, subvp, edm, "
        "edm2 or flow; default the file's, or else edm")  # fmt: skip
    add("--data", metavar="SOURCE", help="folder, .zip, .npy, CIFAR's .tar.gz, or digits")
    add("--out", default="runs/train", metavar="DIR", help="default runs/train")
    add("--set", action="append", default=[], metavar="FIELD=VALUE", dest="overrides",
        help="of the file's fields, as optimiser.batch=64; may be repeated")  # fmt: skip
    add("--dry-run", action="store_true", help="say what would be done, and time one step")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; 0 at the end or after a signal, 1 where gradients stopped being finite."""
    config = _config(args)
    from pydiffcore.data import open_source
    from pydiffcore.ops.memory import keep_memory
    from pydiffcore.train import ranks

    keep_memory()
    source = open_source(config.data.source, skip_corrupt=config.data.skip_corrupt)
    with ranks.started(config.run.device) as here:
        if args.dry_run:
            return _dry(config, source, here)
        return _train(config, source, Path(args.out), here)


def _config(args: argparse.Namespace) -> Config:
    try:
        from pydiffcore.train.config import configured
    except ImportError:
        raise ImportError("training needs pydantic: pip install 'pydiffcore[train]'") from None
    overrides = list(args.overrides)
    overrides += [f"preset={args.preset}"] if args.preset else []
    overrides += [f"data.source={json.dumps(args.data)}"] if args.data else []
    return configured(args.config, overrides)


def _train(config: Config, source: Source, folder: Path, here: Ranks) -> int:
    from pydiffcore.cli.grids import Grids
    from pydiffcore.train.model import save_trained
    from pydiffcore.train.run import run as whole

    grids = Grids(config, source, folder, here)
    watcher = Watcher(config, source, folder, grids) if here.first else None
    shown: dict[str, Any] = (
        {} if watcher is None else {"begin": watcher.begin, "tick": watcher.tick}
    )
    together = here.first or config.run.shard  # who has only a part of the network calls it too
    try:
        out = whole(config, source, folder, here, watch=watcher or grids, **shown)
    except FloatingPointError as error:
        print(f"pydiffcore train: {error}; the checkpoints before it are in {folder}")
        return 1
    finally:
        if watcher is not None:
            watcher.close()
    if together and out.finished:
        save_trained(folder / "model", out.trainer)
        grids.draw(out.trainer, folder / "samples.png")
    if here.first and out.finished:
        print(f"{folder / 'model'}.safetensors: {_next(source, folder)} draws from it")
    elif here.first and out.saved:
        print(f"stopped by {out.signal} after step {out.trainer.step}; the same command goes on")
    return 0 if out.saved else 1


def _next(source: Source, folder: Path) -> str:
    """Return what samples are drawn with."""
    from pydiffcore.data import Numbers

    if not isinstance(source, Numbers):
        return f"pydiffcore sample {folder}"
    if source.observed is None:
        return f"pydiffcore sample {folder} --out samples.npz"
    return f'load_model("{folder}").denoiser(observation=...)'


def _dry(config: Config, source: Source, here: Ranks) -> int:
    """Print the configuration, sizes, and the time of a step."""
    from pydiffcore.data import Loader
    from pydiffcore.train.footprint import footprint
    from pydiffcore.train.run import trainer_of

    trainer = trainer_of(config, source, here)
    batch = config.optimiser.batch
    with Loader(source, batch=batch, workers=0, rank=here.rank, ranks=here.count) as loader:
        first = next(loader)
        held = footprint(trainer, first)
        if here.first:  # before a step, for which memory may not suffice
            print(config.model_dump_json(indent=1))
            print(_summary(trainer, source, held), flush=True)
        trainer.advance(first)
        began = time.perf_counter()
        trainer.advance(next(loader))
        seconds = time.perf_counter() - began
    if here.first:
        print(f"time         {seconds:.3f} s a step, {batch / seconds:.0f} images/s, "
              f"{config.steps * seconds / 3600:.2g} h")  # fmt: skip
    return 0


def _summary(trainer: Trainer, source: Source, held: Footprint | None = None) -> str:
    """Return what a training is made of; without what is held no step need be done to know it."""
    from pydiffcore.train.footprint import footprint

    config = trainer.config
    count = sum(each.numel() for each in trainer.network.parameters())
    more = "; activations come on top, which --dry-run measures" if held is None else ""
    return (
        f"data         {len(source)} images {source.shape}, {source.classes} classes\n"
        f"network      {config.network_name}, {count / 1e6:.2f} M parameters, preset "
        f"{config.preset}\n"
        f"{_fitted(trainer)}"
        f"memory       {(held or footprint(trainer)).text()}{more}\n"
        f"steps        {config.steps} of {config.optimiser.batch} images, on {trainer.ranks.device}"
    )


def _fitted(trainer: Trainer) -> str:
    """Return a line of the options that are neither given nor the paper's, or nothing."""
    from pydiffcore.train.network import fitted_to

    options = fitted_to(trainer.config, trainer.shape)
    said = ", ".join(f"{name} = {value}" for name, value in options.items())
    shape = "×".join(map(str, trainer.shape))
    return f"fitted       {said} for {shape}, in place of its paper's\n" if options else ""


class Watcher:
    """A progress bar, TensorBoard where it is installed, and samples as the training goes."""

    def __init__(self, config: Config, source: Source, folder: Path, grids: Grids) -> None:
        self.config, self.source, self.grids = config, source, grids
        self.bar: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board: Any = SummaryWriter(str(folder / "tensorboard"))
        except ImportError:
            self.board = None

    def begin(self, trainer: Trainer) -> None:
        """Say what will be done, and open the bar where the training stands."""
        with suppress(OSError):
            print(_summary(trainer, self.source), flush=True)
            if self.grids.lacking:
                print(self.grids.lacking, flush=True)
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        batch, steps = self.config.optimiser.batch, self.config.steps
        # A file that takes the output keeps every state of the bar.
        often = 0.1 if sys.stderr.isatty() else 10.0
        self.bar = tqdm(
            total=batch * steps, initial=batch * trainer.step, unit="image", unit_scale=True,
            mininterval=often,
        )  # fmt: skip

    def tick(self, report: Report) -> None:
        """Move the bar by a step, which gives it a rate and the time that remains."""
        try:
            if self.bar is not None:
                self.bar.update(self.config.optimiser.batch)
        except OSError:  # where it is drawn is full or gone, which is not the training's fault
            self.bar = None

    def __call__(self, trainer: Trainer, line: dict[str, Any]) -> None:
        """Show a line of the log."""
        self.grids(trainer, line)  # first: other ranks may draw it too, whatever fails here
        if self.bar is not None:
            loss = _short(line["loss"])
            self.bar.set_postfix(loss=loss, skipped=line["skipped"], refresh=False)
        else:
            left = self.config.steps - line["step"]
            hours = left * self.config.optimiser.batch / line["images_per_second"] / 3600
            print(f"step {line['step']} of {self.config.steps}, loss {_short(line['loss'])}, "
                  f"{hours:.2g} h to go", flush=True)  # fmt: skip
        if self.board is not None:
            flat = {**line, **line["loss_by_level"]}
            for name, value in flat.items():
                if isinstance(value, int | float):
                    self.board.add_scalar(name.replace(" ", ""), value, line["step"])

    def close(self) -> None:
        """Leave the line of the bar, flush the board."""
        with suppress(OSError):
            if self.bar is not None:
                self.bar.close()
        if self.board is not None:
            self.board.close()


def _short(loss: float | None) -> str:
    return "not finite" if loss is None else f"{loss:.4g}"
