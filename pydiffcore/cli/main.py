# SPDX-License-Identifier: Apache-2.0
"""The command ``pydiffcore``: parse, run one command, turn bad input into one line.

Exit codes: 0 done, 1 a check of the command failed, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from pydiffcore import __version__
from pydiffcore.cli import bench, dataset, doctor, plan, posthoc, replay, sample, train

__all__ = ["main"]

COMMANDS = (doctor, plan, sample, replay, bench, dataset, train, posthoc)
BAD_INPUT = (ValueError, TypeError, OSError, ImportError, ArithmeticError, RuntimeError)
# argparse takes a value that starts with a minus sign for an option unless it is one plain number.
MAY_BE_NEGATIVE = ("--clip", "--range")


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = Parser(prog="pydiffcore", description="The compiled core of diffusion sampling.")
    top.add_argument("--version", action="version", version=f"pydiffcore {__version__}")
    top.add_argument(
        "--traceback", action="store_true", help="show where an error came from, not one line"
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_quickstart(commands)
    for command in COMMANDS:
        command.add_parser(commands)
    return top


def add_quickstart(commands: Any) -> None:
    """Add the command that trains; its function lives in cli/quickstart.py."""
    command = commands.add_parser(
        "quickstart",
        help="train on scans of digits, sample, measure: minutes on two cores",
        description="Train a small diffusion model on real scans of digits, draw from it with four "
        "samplers at equal NFE, and write pictures and a table of how good they are.",
    )
    add = command.add_argument
    add("--out", default="runs/quickstart", metavar="DIR", help="default runs/quickstart")
    add("--seed", type=int, default=0, metavar="N", help="of everything drawn, default 0")
    add("--steps", type=int, metavar="N", help="optimiser steps, default: the digits' own")
    add("--samples", type=int, default=1000, metavar="N", help="per sampler, default 1000")
    add("--nfe", type=int, default=35, metavar="N", help="network calls, odd, default 35")
    add("--resume", action="store_true", help="go on from the last checkpoint in DIR")
    command.set_defaults(run=run_quickstart)


def run_quickstart(args: argparse.Namespace) -> int:
    """Train, draw, measure."""
    from pydiffcore.cli.quickstart import BATCH, quickstart
    from pydiffcore.ops.memory import keep_memory

    keep_memory()
    overrides = [f"run.seed={args.seed}"]
    if args.steps is not None:
        if args.steps < 1:
            raise ValueError(f"--steps is {args.steps}, expected at least 1")
        overrides.append(f"run.images={args.steps * BATCH}")
    quickstart(
        args.out, overrides=overrides, samples=args.samples, nfe=args.nfe, resume=args.resume
    )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = joined(list(sys.argv[1:] if argv is None else argv))
    try:
        args = parser().parse_args(arguments)
    except SystemExit as leave:  # argparse has printed help or an error
        return int(leave.code or 0)
    try:
        return args.run(args)
    except SystemExit as leave:  # a command saved its work after a signal
        return int(leave.code or 0)
    except KeyboardInterrupt:
        print("pydiffcore: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except BAD_INPUT as error:
        if args.traceback:
            raise
        print(f"pydiffcore: error: {one_line(error)}", file=sys.stderr)
        return 2


def joined(arguments: list[str]) -> list[str]:
    """Write ``--clip -1,1`` as ``--clip=-1,1``."""
    out: list[str] = []
    for argument in arguments:
        if out and out[-1] in MAY_BE_NEGATIVE:
            out[-1] += f"={argument}"
        else:
            out.append(argument)
    return out


def one_line(error: BaseException) -> str:
    """Return an error's message in one line, with its kind where there is none."""
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return f"there is no file {error.filename}"
    return " ".join(str(error).split()) or type(error).__name__
