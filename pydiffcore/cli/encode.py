# SPDX-License-Identifier: Apache-2.0
"""``pydiffcore dataset encode``: latents of training images, by an autoencoder of diffusers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["add_parser"]


def add_parser(parts: Any, add_common: Callable[..., None]) -> None:
    """Add ``dataset encode``; ``add_common`` adds what all parts take."""
    parser = parts.add_parser(
        "encode",
        help="make latents of images, to train on in their place",
        description="Encode every image by a KL autoencoder and write latents, labels, and the "
        "codec's name and scale.",
    )
    add = parser.add_argument
    add("source", help="a folder, .zip, .npy, .npz, CIFAR's .tar.gz, or digits")
    add("out", metavar="OUT.npz", help="the file to write")
    add("--codec", required=True, metavar="PATH", help="a folder of diffusers' AutoencoderKL, of a "
        "pipeline with one, or a model's name")  # fmt: skip
    add("--seed", type=int, metavar="N", help="in [0, 2^24): draw from the images' posteriors; "
        "default: their means")  # fmt: skip
    add("--dtype", choices=("float32", "float16"), default="float32", help="default float32")
    add("--batch", type=int, default=16, metavar="N", help="images at once, default 16")
    add("--device", default="cpu", help="default cpu")
    add("--skip-corrupt", action="store_true", help="leave out and list what cannot be used")
    add_common(add)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Encode, write, and say what is in the file."""
    from pydiffcore.adapters.autoencoder import KLCodec
    from pydiffcore.cli.dataset import bar, counted, digest, list_faults, workers_of
    from pydiffcore.data import open_source
    from pydiffcore.data.latents import encoded, write_latents

    out = checked(args)
    codec = KLCodec.open(args.codec, args.device)
    codec.batch = args.batch
    source = open_source(
        args.source, skip_corrupt=args.skip_corrupt, convert=args.convert, split=args.split,
        workers=workers_of(args), progress=bar(args, "reading"),
    )  # fmt: skip
    list_faults([str(fault) for fault in source.left_out])
    latents, labels = encoded(
        source, codec, seed=args.seed, batch=args.batch, dtype=args.dtype,
        progress=bar(args, "encoding", "batch"),
    )  # fmt: skip
    about = {"name": args.codec, "scale": codec.scale, "shift": codec.shift, "seed": args.seed,
             "images": list(source.shape)}  # fmt: skip
    write_latents(out, latents, labels, about)
    shape = "×".join(map(str, latents.shape[1:]))
    deviation = latents.astype("float64").std()
    classes = counted(source.classes, "class") if source.classes else "no labels"
    print(f"{counted(len(latents), 'latent')} of {shape}, {classes}, deviation {deviation:.3g}, "
          f"scale {codec.scale:g}")  # fmt: skip
    print(f"{out}, {out.stat().st_size} bytes, SHA-256 {digest(out)}")
    return 0


def checked(args: argparse.Namespace) -> Path:
    """Return the file to write; refuse arguments out of range."""
    out = Path(args.out)
    if out.suffix.lower() != ".npz":
        raise ValueError(f"the file to write is {args.out}, expected OUT.npz")
    if not out.parent.is_dir():
        raise ValueError(f"there is no folder {out.parent}")
    if args.batch < 1:
        raise ValueError(f"--batch is {args.batch}, expected at least 1")
    if args.seed is not None and not 0 <= args.seed < 2**24:
        raise ValueError(f"--seed is {args.seed}, expected a whole number in [0, 2^24)")
    return out
