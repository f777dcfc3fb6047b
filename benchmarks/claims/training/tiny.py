# SPDX-License-Identifier: Apache-2.0
"""A tiny training of digits in a process of its own: python -m benchmarks.claims.training.tiny.

    tiny FOLDER STEPS SEED SAVE_EVERY [INPUTS [shard]]

INPUTS is a folder that gets, for each rank and step, the levels and network inputs of its samples;
"shard" leaves each rank a part of every weight.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pydiffcore.data import open_source
from pydiffcore.ops.corruption import Coefficients
from pydiffcore.train import ranks
from pydiffcore.train.config import Config, configured
from pydiffcore.train.run import run
from pydiffcore.train.trainer import Trainer

NETWORK = "{width=16, multipliers=[1, 1], blocks=1, attention=[4], dropout=0.1}"
BATCH = 24


def config(
    steps: int, seed: int, save_every: int, dropout: bool = True, shard: bool = False
) -> Config:
    """Return an EDM training of a small DDPM++ on digits."""
    network = NETWORK if dropout else NETWORK.replace("0.1}", "0.0}")
    return configured(overrides=[
        f"network.options={network}", f"optimiser.batch={BATCH}", "data.workers=0",
        f"run.images={steps * BATCH}", f"run.seed={seed}", f"run.save_every={save_every}",
        "run.log_every=1", "data.mirror=true", f"run.shard={str(shard).lower()}",
        'averages={a={kind="half_life", images=500}, b={kind="power", width=0.1}}',
    ])  # fmt: skip


class Recorded(Trainer):
    """Keeps what its network is given."""

    folder: Path

    def _loss(self, images: Any, sigma: Any, *rest: Any) -> Any:
        given = []

        def hook(module: Any, args: tuple[Any, ...]) -> None:
            given.append(args[0].detach().cpu().numpy())

        handle = self.network.register_forward_pre_hook(hook)
        terms = super()._loss(images, sigma, *rest)
        handle.remove()
        path = self.folder / f"{self.step:04d}-{self.ranks.rank}.npz"
        levels = sigma.sigma if isinstance(sigma, Coefficients) else sigma
        np.savez(path, sigma=levels, inputs=np.concatenate(given))
        return terms


def main() -> None:
    folder, steps, seed, every = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    recording = len(sys.argv) > 5
    if recording:
        import pydiffcore.train.run as module

        Recorded.folder = Path(sys.argv[5])
        Recorded.folder.mkdir(parents=True, exist_ok=True)
        module.Trainer = Recorded  # type: ignore[misc]
    torch.set_num_threads(1)
    with ranks.started("cpu", timeout=120) as here:
        given = config(steps, seed, every, not recording, shard="shard" in sys.argv)
        run(given, open_source("digits"), folder, here,
            watch=lambda trainer, line: print(line["step"], flush=True))  # fmt: skip


if __name__ == "__main__":
    main()
