# SPDX-License-Identifier: Apache-2.0
"""``pydiffcore dataset``: make a file of training images, reproducibly, and check one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydiffcore.cli import encode
from pydiffcore.cli.sample import shows_progress

if TYPE_CHECKING:
    from pydiffcore.data.faults import Fault
    from pydiffcore.data.make import Wanted
    from pydiffcore.data.survey import Survey

__all__ = ["add_parser"]

SOURCES = "a folder, .zip, .npy, .npz, CIFAR's .tar.gz, or digits"
LISTED = 20


def add_parser(commands: Any) -> None:
    """Add the command and its parts."""
    parser = commands.add_parser(
        "dataset",
        help="make and check a file of training images, or encode it",
        description="Make a zip file of training images, check one, or make latents of one.",
    )
    parts = parser.add_subparsers(title="parts", metavar="PART", required=True)
    add_make(parts)
    add_check(parts)
    encode.add_parser(parts, add_common)


def add_make(parts: Any) -> None:
    """Add ``dataset make``."""
    parser = parts.add_parser(
        "make",
        help="make a zip of images, the same bytes for the same source",
        description="Write images of one size as a zip of PNG files with a table of labels, in the "
        "form of EDM and StyleGAN.",
    )
    add = parser.add_argument
    add("source", help=SOURCES)
    add("out", metavar="OUT.zip", help="the file to write")
    add("--size", metavar="N", help="of the images, such as 64, or 64x48 for width x height")
    add(
        "--crop", choices=("center", "none"), default="none",
        help="center cuts to the size's proportions, or to a square; default none",
    )  # fmt: skip
    add(
        "--labels", default="auto", metavar="auto|none|FILE",
        help='the source\'s own, none, or a JSON file {"labels": [[name, label], …]}; default auto',
    )  # fmt: skip
    add("--skip-corrupt", action="store_true", help="leave out and list what cannot be used")
    add_common(add)
    parser.set_defaults(run=run_make)


def add_check(parts: Any) -> None:
    """Add ``dataset check``."""
    parser = parts.add_parser(
        "check",
        help="decode every image; sizes, classes, mean, deviation, faults",
        description="Decode every image of a data set. The exit code is 1 where one is unusable.",
    )
    parser.add_argument("source", metavar="FILE", help=SOURCES)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    add_common(parser.add_argument)
    parser.set_defaults(run=run_check)


def add_common(add: Callable[..., Any]) -> None:
    """Add what all parts take."""
    add(
        "--convert", action="store_true",
        help="composite transparent images on white, cut 16 bits to 8, convert CMYK to RGB",
    )  # fmt: skip
    add("--split", choices=("train", "test"), default="train", help="of CIFAR, default train")
    add("--workers", type=int, metavar="N", help="threads, default: one per processor")
    add(
        "--progress", action=argparse.BooleanOptionalAction,
        help="show a progress bar; default: on a terminal",
    )  # fmt: skip


def run_make(args: argparse.Namespace) -> int:
    """Make the file and say what is in it."""
    from pydiffcore.data.make import make
    from pydiffcore.data.opening import open_collection

    out = Path(args.out)
    if out.suffix.lower() != ".zip":
        raise ValueError(f"the file to write is {args.out}, expected OUT.zip")
    if not out.parent.is_dir():
        raise ValueError(f"there is no folder {out.parent}")
    collection = open_collection(args.source, convert=args.convert, split=args.split)
    wanted = wanted_of(args, [collection.name(place) for place in range(len(collection))])
    made = make(
        collection, out, wanted, workers=workers_of(args),
        look=bar(args, "reading"), write=bar(args, "writing"),
    )  # fmt: skip
    list_faults([str(fault) for fault in made.left_out])
    channels, height, width = made.shape
    left = f", {counted(len(made.left_out), 'fault')} left out" if made.left_out else ""
    classes = counted(made.classes, "class") if made.classes else "no labels"
    print(f"{counted(made.images, 'image')} of {channels}×{height}×{width}, {classes}{left}")
    print(f"{out}, {out.stat().st_size} bytes, SHA-256 {digest(out)}")
    return 0


def run_check(args: argparse.Namespace) -> int:
    """Print the findings; 1 where an image cannot be used."""
    from pydiffcore.data.opening import open_collection
    from pydiffcore.data.survey import survey

    collection = open_collection(args.source, convert=args.convert, split=args.split)
    found = survey(collection, workers=workers_of(args), progress=bar(args, "checking"))
    if args.json:
        print(json.dumps(found.facts(), ensure_ascii=False, indent=1))
    else:
        print_survey(found)
    return 1 if found.faults or not found.images else 0


def print_survey(found: Survey) -> None:
    """Print the findings as text."""
    print(f"{found.where}: {counted(found.images, 'image')}")
    for (channels, height, width), count in found.shapes.items():
        print(f"{'shape':<12} {channels}×{height}×{width} in {counted(count, 'image')}")
    if found.classes:
        counts = [found.class_counts.get(label, 0) for label in range(found.classes)]
        print(f"{'classes':<12} {found.classes}, of {min(counts)} to {max(counts)} images")
        names = found.class_names or tuple(str(label) for label in range(found.classes))
        for name, count in list(zip(names, counts, strict=False))[:LISTED]:
            print(f"  {name:<18} {count}")
        if found.classes > LISTED:
            print(f"  and {found.classes - LISTED} more, see --json")
    else:
        print(f"{'classes':<12} no labels")
    if found.images:
        print(f"{'mean':<12} {', '.join(f'{value:.4f}' for value in found.mean)}")
        print(f"{'deviation':<12} {', '.join(f'{value:.4f}' for value in found.std)}")
    print(f"{'faults':<12} {len(found.faults) or 'none'}")
    list_faults([str(fault) for fault in found.faults])


def wanted_of(args: argparse.Namespace, names: list[str]) -> Wanted:
    """Return what the arguments ask for."""
    from pydiffcore.data.faults import BadImages
    from pydiffcore.data.labels import read_labels
    from pydiffcore.data.make import Wanted

    labels: dict[str, int] | None = None
    classes: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    if args.labels not in ("auto", "none"):
        try:
            labels, classes, faults = read_labels(Path(args.labels).read_bytes(), names)
        except ValueError as error:
            raise ValueError(f"--labels {args.labels}: {error}") from None
        if labels is None:
            raise ValueError(f"--labels {args.labels} holds none: say --labels none")
        if faults and not args.skip_corrupt:
            raise BadImages(f"--labels {args.labels}", faults)
    return Wanted(
        size_of(args.size), args.crop, labels, classes, faults, args.labels == "none",
        args.skip_corrupt,
    )  # fmt: skip


def size_of(text: str | None) -> tuple[int, int] | None:
    """Return (height, width) of ``64`` or ``64x48``."""
    if text is None:
        return None
    width, x, height = text.lower().partition("x")
    try:
        size = int(height if x else width), int(width)
    except ValueError:
        size = (0, 0)
    if min(size) < 1 or max(size) > 1 << 16:
        raise ValueError(f"--size is {text!r}, expected such as 64, or 64x48 for width x height")
    return size


def workers_of(args: argparse.Namespace) -> int | None:
    """Return the number of threads."""
    if args.workers is not None and args.workers < 1:
        raise ValueError(f"--workers is {args.workers}, expected at least 1")
    return args.workers


def bar(
    args: argparse.Namespace, what: str, unit: str = "image"
) -> Callable[[Iterable[int]], Iterable[int]]:
    """Return what shows how far the numbers of the images have come."""
    if not shows_progress(args.progress):
        return iter
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("--progress needs tqdm: pip install 'pydiffcore[data]'") from None
    return lambda numbers: tqdm(numbers, desc=what, unit=unit, mininterval=0.5)


def list_faults(faults: list[str]) -> None:
    """Print faults, the first of many."""
    for fault in faults[:LISTED]:
        print(f"  {fault}")
    if len(faults) > LISTED:
        print(f"  and {len(faults) - LISTED} more")


def counted(count: int, noun: str) -> str:
    """Return a number with its noun."""
    many = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count} {noun if count == 1 else many}"


def digest(path: Path) -> str:
    """Return a file's SHA-256."""
    import hashlib

    known = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            known.update(block)
    return known.hexdigest()
