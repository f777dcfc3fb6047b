# SPDX-License-Identifier: Apache-2.0
"""``pydiffcore posthoc``: an average whose width is chosen after the training, as a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_parser"]

POOR = 0.05  # 16 snapshots of each of 0.05 and 0.1 meet any width up to 0.2 to half of it


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "posthoc",
        help="make an average of any width of a training's snapshots",
        description="Combine the snapshots of a training's averages of kind power to the average "
        "of another width, and write it as a model that pydiffcore sample takes.",
    )
    add = parser.add_argument
    add("folder", metavar="RUN", help="the folder of a training")
    add("--width", type=float, required=True, metavar="W",
        help="of the average, relative to the time, above 0 and at most 0.28")  # fmt: skip
    add("--time", type=float, metavar="STEP", help="when it is taken, default: the last snapshot's")
    add("--out", required=True, metavar="DIR", help="the folder that gets the model")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Combine and write."""
    from pydiffcore.train.reconstruction import reconstructed

    made = reconstructed(args.folder, args.width, args.time)
    for fault in made.left_out:
        print(f"left out: {fault}")
    path = Path(args.out) / "model"
    made.save(path)
    widths = ", ".join(f"{width:g}" for width in sorted({width for width, _ in made.kept}))
    print(f"width {made.width:g} at step {made.time:g}, of {len(made.kept)} snapshots of the "
          f"widths {widths}, whose profile is met to {made.misfit:.1%}")  # fmt: skip
    if made.misfit > POOR:
        print("it is met badly: keep more snapshots (run.save_every), or averages of two widths")
    print(f"{path}.safetensors: pydiffcore sample {args.out} draws from it")
    return 0
