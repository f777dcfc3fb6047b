# SPDX-License-Identifier: Apache-2.0
"""``pydiffcore replay``: draw a picture again from its own metadata and compare."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pydiffcore.cli.sample import shows_progress

if TYPE_CHECKING:
    from pydiffcore.cli.draw import Drawing
    from pydiffcore.cli.source import Source

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "replay",
        help="draw a picture again from its own metadata",
        description="Draw again what `pydiffcore sample` wrote, and say whether it is identical. "
        "The exit code is 1 where it is not.",
    )
    add = parser.add_argument
    add("image", help="a PNG or NPZ file of pydiffcore sample")
    add("--out", metavar="PATH", help="write the new drawing, PNG or NPZ as the original is")
    add("--checkpoint", metavar="PATH", help="where the checkpoint is now")
    add(
        "--network",
        metavar="MODULE:FUNCTION",
        help="the network, where it is not in this directory",
    )
    add("--device", help="default: the one of then")
    add("--show", action="store_true", help="print what the file says about itself, and stop")
    add(
        "--progress", action=argparse.BooleanOptionalAction,
        help="show a progress bar; default: on a terminal",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw again, compare, and write."""
    from pydiffcore.cli import files
    from pydiffcore.cli.draw import draw, machine

    saved = files.read(args.image)
    if args.out and files.form_of(args.out) != files.form_of(args.image):
        raise ValueError(f"--out is {args.out}, expected the kind of file that {args.image} is")
    if args.show:
        print(saved.plan)
        print(saved.drawing.text())
        return 0
    drawing = replace(saved.drawing, device=args.device or saved.drawing.device)
    source = reopened(args, drawing)
    notes = changed(saved.drawing, source, {**machine(), "device": drawing.device})
    samples = draw(drawing, saved.plan, source, shows_progress(args.progress))
    samples = source.written(samples, numbers=saved.frame is None)
    array = samples.numpy() if saved.frame is None else files.framed(samples, saved.frame)
    difference = compared(saved.array, array)
    print(f"{args.image}: {difference or 'identical, every value'}")
    for note in notes if difference else []:
        print(note)
    if args.out:
        frame = saved.frame or files.Frame(-1.0, 1.0, 1, 1, ())
        print(files.save(args.out, samples, drawing, saved.plan, frame))
    return 1 if difference else 0


def reopened(args: argparse.Namespace, drawing: Drawing) -> Source:
    """Open the network that the drawing names, or the one that took its place.

    A picture can come from anybody, so that it may name only code of the working directory.
    """
    from pydiffcore.cli.source import is_local, open_source

    if args.checkpoint and args.network:
        raise ValueError("expected --checkpoint or --network, not both")
    if args.checkpoint:
        return open_source({**drawing.network, "checkpoint": args.checkpoint}, drawing.device)
    if args.network:
        return open_source({"function": args.network}, drawing.device)
    function = drawing.network.get("function")
    if function is not None and not is_local(function):
        raise ValueError(
            f"{args.image} names the network {function}, which is not in this directory: "
            f"give --network {function} if you trust it"
        )
    return open_source(drawing.network, drawing.device)


def changed(drawing: Drawing, source: Source, now: dict[str, Any]) -> list[str]:
    """Return what is not as it was: reasons why values may differ."""
    notes = []
    if source.where.get("sha256") != drawing.network.get("sha256"):
        notes.append("the network's file is not the one of then: its SHA-256 differs")
    for name, then in {**drawing.made_with, "device": drawing.device}.items():
        if now.get(name) != then:
            notes.append(f"{name} was {then}, is {now.get(name)}")
    return notes or ["network file, versions and threads are those of then"]


def compared(then: np.ndarray, now: np.ndarray) -> str:
    """Return how two arrays differ, "" where they do not."""
    if then.shape != now.shape:
        return f"another size: {then.shape} then, {now.shape} now"
    different = int((then != now).sum())
    if not different:
        return ""
    worst = np.abs(then.astype(np.float64) - now.astype(np.float64)).max()
    return f"{different} of {then.size} values differ, by up to {worst:.3g}"
