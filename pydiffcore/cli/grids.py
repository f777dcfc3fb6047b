# SPDX-License-Identifier: Apache-2.0
"""Grids of samples as a training goes, and at its end; latents are decoded first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from pydiffcore.adapters.autoencoder import KLCodec
    from pydiffcore.data.source import Source
    from pydiffcore.train.config import Config
    from pydiffcore.train.ranks import Ranks
    from pydiffcore.train.trainer import Trainer

__all__ = ["Grids"]


class Grids:
    """What draws them, with the codec of ``data.codec`` where there is one.

    Attributes:
        lacking: why there are none although samples are arrays [C, H, W], or "".

    Raises:
        ValueError: a codec was given, but the data is not what it made.
        OSError: there is no such codec.
    """

    def __init__(self, config: Config, source: Source, folder: Path, here: Ranks) -> None:
        self.every, self.folder, self.drawn = config.run.sample_every, folder, 0
        self.codec, self.lacking, shape = None, "", tuple(source.shape)
        if config.data.codec is not None:
            self.codec = _codec(config.data.codec, source, here)
        images = len(shape) == 3 and shape[0] in (1, 3)
        self.wanted = config.data.codec is not None or images
        if len(shape) == 3 and not self.wanted:
            name = (getattr(source, "codec", None) or {}).get("name", "PATH")
            self.lacking = (
                f"grids        none: samples of {shape} are no images; data.codec={name} decodes "
                "latents"
            )

    def __call__(self, trainer: Trainer, line: dict[str, Any]) -> None:
        """Draw a grid where one is due."""
        if self.every and line["step"] // self.every > self.drawn:
            self.drawn = line["step"] // self.every
            self.draw(trainer, self.folder / f"samples-{line['step']:08d}.png")

    def draw(self, trainer: Trainer, path: Path) -> None:
        """Write a grid of the first average by the training's own sampler, from fixed seeds.

        Where the training is sharded all ranks draw it, and the first writes. Samples that are no
        images, of 1 or 3 channels, and have no codec are not drawn.
        """
        if not self.wanted:
            return
        from pydiffcore.cli import pictures

        x0 = _drawn(trainer)
        if trainer.ranks.first:
            columns = trainer.classes if 0 < trainer.classes <= 16 else 8
            pixels = pictures.to_pixels(x0)
            if self.codec is not None:
                latents = x0 if trainer.units is None else trainer.units.span.restored(x0)
                pixels = self.codec.decode(latents).cpu()
            pictures.write_grid(path, pixels, columns)


def _codec(path: str, source: Source, here: Ranks) -> KLCodec | None:
    """Return the codec of the first rank; refuse one that did not make the data."""
    from pydiffcore.adapters.autoencoder import KLCodec
    from pydiffcore.data import Numbers

    if not isinstance(source, Numbers) or len(source.shape) != 3:
        raise ValueError(
            f"data.codec is {path}, but data.source holds no latents; expected what "
            f"`pydiffcore dataset encode SOURCE OUT.npz --codec {path}` writes"
        )
    if not here.first:
        return None
    codec = KLCodec.open(path, here.device)
    codec.pixels(tuple(source.shape))
    made = source.codec or {}
    for name in ("scale", "shift"):
        if name in made and abs(float(made[name]) - getattr(codec, name)) > 1e-9:
            raise ValueError(f"data.codec is {path} with {name} {getattr(codec, name)}, but the "
                             f"latents were made with {made[name]}")  # fmt: skip
    return codec


def _drawn(trainer: Trainer) -> Tensor:
    """Return samples of the first average, [N, C, H, W]."""
    import torch

    import pydiffcore
    from pydiffcore.train.native import native_plan

    config, cell, device = trainer.config, trainer.cell, trainer.ranks.device
    network, count = next(iter(trainer.averages.values())), config.run.samples
    plan = native_plan(cell, config.run.steps_of(cell), bounds=(-1.0, 1.0))
    condition = {}
    if trainer.classes:
        condition["class_labels"] = torch.arange(count, device=device) % trainer.classes
    model = pydiffcore.Denoiser(
        network, cell.prediction, condition, learned_variance=cell.learned_variance
    )
    return pydiffcore.sample(model, plan, shape=trainer.shape, seeds=range(count), device=device)
