# SPDX-License-Identifier: Apache-2.0
"""``pydiffcore sample``: draw from a checkpoint, or from the user's own network."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from pydiffcore.cli.plan import (
    add_choices,
    chosen_prediction,
    chosen_process,
    loaded,
    pair,
    traced,
)

if TYPE_CHECKING:
    from torch import Tensor

    from pydiffcore.cli.draw import Drawing
    from pydiffcore.cli.files import Frame
    from pydiffcore.cli.source import Source
    from pydiffcore.plan import Plan
    from pydiffcore.prediction import Prediction
    from pydiffcore.train.ranks import Ranks

__all__ = ["add_network", "add_parser", "seeds_of", "shape_of"]

DTYPES = ("float32", "float64")
IO_DTYPES = ("float32", "float64", "bfloat16", "float16")


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "sample",
        help="draw from a checkpoint or from your own network",
        description="Draw one sample per seed. A file's metadata says how to draw it again: see "
        "pydiffcore replay. On several GPUs or processes: torchrun --nproc-per-node=N -m "
        "pydiffcore sample ...",
    )
    add_network(parser)
    add = parser.add_argument
    add("--seeds", default="0-15", metavar="LIST", help="such as 0-99 or 1,5,7-9; default 0-15")
    add(
        "--batch", type=int, metavar="N", help="samples per network call, default: all of a process"
    )
    add(
        "--class", dest="classes", metavar="LIST",
        help="classes, repeated over the seeds, or none; default: all in turn, where known",
    )  # fmt: skip
    add("--guidance", type=float, metavar="W", help="weight w of u + w(c − u); 1 is off")
    add("--guidance-interval", metavar="LOW,HIGH", help="levels between which guidance acts")
    add(
        "--out", default="samples.png", metavar="PATH",
        help="x.png for a grid, x.npz for numbers, x/ for one image per seed; default samples.png",
    )  # fmt: skip
    add(
        "--codec", metavar="PATH",
        help="an AutoencoderKL of diffusers that decodes latents, or none; default: data.codec of "
        "the training",
    )  # fmt: skip
    add("--columns", type=int, metavar="N", help="of the grid, default: about as many as rows")
    add("--zoom", type=int, metavar="N", help="pixels per value, default: small images enlarged")
    add("--range", default="-1,1", metavar="LOW,HIGH", help="values of black and white, -1,1")
    add("--dtype", choices=DTYPES, default="float32", help="of the state, default float32")
    add("--io-dtype", choices=IO_DTYPES, help="of the network's input, default: the state's")
    add("--backend", choices=("auto", "native", "reference"), default="auto", help="default auto")
    add(
        "--progress", action=argparse.BooleanOptionalAction,
        help="show a progress bar; default: on a terminal",
    )  # fmt: skip
    add("--plan", metavar="FILE", help="a saved plan, instead of the choices below")
    add_choices(parser)
    parser.set_defaults(run=run)


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which network is meant; shared by sample and bench."""
    add = parser.add_argument
    add("checkpoint", nargs="?", help="a training's folder, a model, or a checkpoint of a training")
    add(
        "--average", metavar="NAME",
        help="which of a training's averages, or none for the weights themselves; default: the "
        "model's, or the first",
    )  # fmt: skip
    add(
        "--network", metavar="MODULE:FUNCTION",
        help="your own: a function that returns a network or a pydiffcore.Denoiser, or that is "
        "itself D(x, sigma)",
    )  # fmt: skip
    add("--shape", metavar="C,H,W", help="of one sample; needed with --network")
    add("--device", default="cpu", help="default cpu")


def run(args: argparse.Namespace) -> int:
    """Draw and write."""
    from pydiffcore.ops.memory import keep_memory

    keep_memory()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return _run(args, None)
    from pydiffcore.train.ranks import started

    with started(args.device) as ranks:
        args.device = str(ranks.device)
        return _run(args, ranks)


def _run(args: argparse.Namespace, ranks: Ranks | None) -> int:
    from pydiffcore.cli import files
    from pydiffcore.cli.draw import draw
    from pydiffcore.cli.share import draw_shared
    from pydiffcore.cli.source import OWN

    source = opened(args, args.codec or OWN)
    plan = plan_of(args, source)
    drawing = described(args, source, plan, 1 if ranks is None else ranks.count)
    frame = frame_of(args, drawing, source.pixels(drawing.shape))
    progress = shows_progress(args.progress)
    if ranks is None or ranks.first:
        if source.note:
            print(source.note)
        about = f"{plan.sampler} on {plan.levels}, {plan.nfe} network calls"
        print(f"{about}, plan {plan.hash[:16]}", flush=True)
    start = time.perf_counter()
    if ranks is None:
        samples: Tensor | None = draw(drawing, plan, source, progress)
    else:
        samples = draw_shared(drawing, plan, source, progress, ranks)
    seconds = time.perf_counter() - start
    if samples is None:
        return 0
    samples = source.written(samples, numbers=files.form_of(args.out) == "npz")
    written = files.save(args.out, samples, drawing, plan, frame)
    print(f"{written}, {seconds:.2f} s")
    return 0


def opened(args: argparse.Namespace, codec: str = "none") -> Source:
    """Return the network that the arguments name, with what decodes its samples."""
    from pydiffcore.cli.source import open_source

    decoding = {} if codec == "none" else {"codec": codec}
    if (args.checkpoint is None) == (args.network is None):
        raise ValueError("expected one of: a checkpoint, or --network module:function")
    if args.checkpoint is not None:
        average = {} if args.average is None else {"average": args.average}
        return open_source({"checkpoint": args.checkpoint, **average, **decoding}, args.device)
    if args.average is not None:
        raise ValueError(f"--average is {args.average!r}, but --network has none")
    return open_source({"function": args.network, **decoding}, args.device)


def plan_of(args: argparse.Namespace, source: Source) -> Plan:
    """Return the saved plan, or that of the arguments, a training's own where they say nothing."""
    from pydiffcore.cli.native import NATIVE, planned

    if args.plan:
        return loaded(args, args.plan)
    if source.cell is not None:
        return planned(args, source.cell)
    if args.sampler == NATIVE:
        raise ValueError("--sampler is native, but --network says not how it was trained")
    return traced(args, prediction_of(args, source))


def prediction_of(args: argparse.Namespace, source: Source) -> Prediction:
    """Return what the network's output means: its own prediction, or that of ``--prediction``."""
    from pydiffcore.denoiser import Denoiser

    if isinstance(source.model, Denoiser):
        return source.model.prediction
    return chosen_prediction(args, chosen_process(args))


def described(args: argparse.Namespace, source: Source, plan: Plan, processes: int = 1) -> Drawing:
    """Return the drawing that the arguments describe; without --batch a process has one batch."""
    from pydiffcore.cli.draw import Drawing, machine

    seeds = seeds_of(args.seeds)
    batch = -(-len(seeds) // processes) if args.batch is None else args.batch
    if batch < 1:
        raise ValueError(f"--batch is {batch}, expected at least 1")
    interval = args.guidance_interval
    if interval and args.guidance is None:
        raise ValueError("--guidance-interval has no meaning without --guidance")
    return Drawing(
        network=dict(source.where),
        plan_hash=plan.hash,
        shape=shape_of(args.shape, source),
        seeds=seeds,
        batch=batch,
        classes=classes_of(args.classes, source, len(seeds)),
        guidance=args.guidance,
        interval=pair("--guidance-interval", interval) if interval else None,
        dtype=args.dtype,
        io_dtype=args.io_dtype or args.dtype,
        device=args.device,
        backend=args.backend,
        made_with=machine(),
    )


def frame_of(args: argparse.Namespace, drawing: Drawing, shape: tuple[int, ...]) -> Frame:
    """Return how what is written of the samples, each of this shape, becomes pixels."""
    from pydiffcore.cli.files import Frame, check_form, default_zoom, form_of

    low, high = pair("--range", args.range)
    if not low < high:
        raise ValueError(f"--range is {args.range!r}, expected LOW,HIGH with LOW < HIGH")
    check_form(args.out, shape)
    count = len(drawing.seeds)
    columns = max(round(count**0.5), 1) if args.columns is None else args.columns
    grid = form_of(args.out) == "png"
    zoom = args.zoom if args.zoom is not None else default_zoom(shape) if grid else 1
    if columns < 1 or zoom < 1:
        raise ValueError(f"--columns is {columns}, --zoom is {zoom}: expected at least 1")
    return Frame(low, high, zoom, columns, tuple(range(count)))


def seeds_of(text: str) -> tuple[int, ...]:
    """Return the seeds of a text such as ``0-99`` or ``1,5,7-9``."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            low = int(first)
            high = int(last) if dash else low
        except ValueError:
            raise ValueError(f"--seeds is {text!r}, expected such as 0-99 or 1,5,7-9") from None
        if not low <= high < 2**64 or high - low >= 10**7:
            raise ValueError(f"--seeds holds {part!r}, expected an ascending range below 2^64")
        seeds.extend(range(low, high + 1))
    return tuple(seeds)


def shape_of(text: str | None, source: Source | None) -> tuple[int, ...]:
    """Return the shape of one sample: that of ``--shape``, or the checkpoint's."""
    if text is None:
        if source is None or source.shape is None:
            raise ValueError("--shape is missing: the network does not say it, such as 3,32,32")
        return source.shape
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise ValueError(f"--shape is {text!r}, expected whole numbers above 0, such as 3,32,32")
    return shape


def classes_of(text: str | None, source: Source, count: int) -> tuple[int, ...] | None:
    """Return one class per sample: those of the text, or all known ones, in turn."""
    if text is None:
        return tuple(i % source.classes for i in range(count)) if source.classes else None
    if text == "none":
        return None
    try:
        given = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--class is {text!r}, expected such as 3 or 0,1,2, or none") from None
    if min(given) < 0 or (source.classes and max(given) >= source.classes):
        expected = f"classes below {source.classes}" if source.classes else "classes from 0 on"
        raise ValueError(f"--class is {text!r}, expected {expected}")
    return tuple(given[i % len(given)] for i in range(count))


def shows_progress(wanted: bool | None) -> bool:
    """Whether to show a bar: as asked, else on a terminal where tqdm is there."""
    if wanted is not None:
        return wanted
    if not sys.stderr.isatty():
        return False
    import importlib.util

    return importlib.util.find_spec("tqdm") is not None
