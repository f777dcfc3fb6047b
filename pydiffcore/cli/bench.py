# SPDX-License-Identifier: Apache-2.0
"""``pydiffcore bench``: our samplers against the installed peers, on your network."""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydiffcore.cli.names import SAMPLERS, chosen
from pydiffcore.cli.plan import chosen_process
from pydiffcore.cli.sample import add_network, opened, prediction_of, shape_of

if TYPE_CHECKING:
    from pydiffcore.adapters.peers import Convention
    from pydiffcore.cli.timing import Subject, Timing
    from pydiffcore.levels import Levels

__all__ = ["add_parser"]

FORMAT = "pydiffcore bench 1"
BUILT_IN = {"stub": (16, 7), "mlp": (16, 7), "unet": (1, 8, 8)}
KINDS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "bench",
        help="time our samplers against the installed peers, on your network",
        description="Time whole sampling runs, ours and those of every installed peer, in "
        "interleaved rounds on the same network. Results are compared, losses are printed as they "
        "are. Without a network the built-in ones are used: a stub that costs nothing, so that its "
        "ratios are an upper bound, a small MLP, and the quickstart's U-Net with random weights.",
    )
    add_network(parser)
    add = parser.add_argument
    add("--built-in", default="stub,mlp,unet", metavar="LIST", help="default stub,mlp,unet")
    add(
        "--samplers", default="euler,ancestral,dpmpp-2m,dpmpp-2m-sde", metavar="LIST",
        help="default euler,ancestral,dpmpp-2m,dpmpp-2m-sde",
    )  # fmt: skip
    add("--steps", type=int, default=20, metavar="N", help="steps per run, default 20")
    add("--batch", type=int, default=64, metavar="N", help="samples per network call, default 64")
    add("--seconds", type=float, default=30.0, metavar="S", help="time for all rounds, default 30")
    add("--threads", type=int, metavar="N", help="of torch and our kernels, default: torch's own")
    add("--compile", action="store_true", help="add torch.compile of the plain rows")
    add("--process", metavar="NAME", help="of your network; default ddpm where discrete")
    add("--prediction", metavar="NAME", help="of your network; default denoised")
    add("--json", metavar="FILE", help="write every figure")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print, write."""
    if args.steps < 2 or args.batch < 1 or not 0 <= args.seconds < float("inf"):
        raise ValueError(
            f"--steps {args.steps}, --batch {args.batch}, --seconds {args.seconds}: expected at "
            "least 2, 1 and 0"
        )
    if args.threads is not None:
        set_threads(args.threads)
    samplers = [chosen("--samplers", SAMPLERS, name)[0] for name in args.samplers.split(",")]
    subjects = list(subjects_of(args))
    about = machine(args)
    print(heading(about))
    rows: list[dict[str, Any]] = []
    share = args.seconds / (len(samplers) * len(subjects))
    for subject, convention, levels in subjects:
        print(f"\n{describe(subject, args.batch)}\n{COLUMNS}")
        for sampler in samplers:
            rows += measured(args, subject, convention, levels, sampler, share)
    print(LEGEND)
    for warning in warnings_of(about, rows):
        print(f"warning  {warning}")
    if args.json:
        document = {"format": FORMAT, **about, "rows": rows}
        Path(args.json).write_text(json.dumps(document, indent=1) + "\n")
        print(f"written {args.json}")
    return 0


def set_threads(count: int) -> None:
    """Set the number of threads of torch, which our kernels follow."""
    import torch

    if count < 1:
        raise ValueError(f"--threads is {count}, expected at least 1")
    torch.set_num_threads(count)


def warnings_of(about: dict[str, Any], rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield why the figures may say little."""
    load, processors = about["load_before"], about["processors"]
    if load is not None and load > 0.5 * processors:
        yield f"other work was running: load {load:.1f} on {processors} processors"
    if any(row["repeats"] < 3 for row in rows):
        yield "some rows had fewer than three rounds: give more --seconds"


def measured(
    args: argparse.Namespace,
    subject: Subject,
    convention: Convention,
    levels: Levels,
    sampler: Any,
    seconds: float,
) -> list[dict[str, Any]]:
    """Time one sampler on one network, print its lines and return its figures."""
    import torch

    from pydiffcore.cli.timing import compare
    from pydiffcore.plan import trace

    start = time.perf_counter()
    plan = trace(sampler, levels, subject.prediction)
    traced = time.perf_counter() - start
    timings = compare(
        subject,
        plan,
        opponents(sampler, plan, args, convention),
        batch=args.batch,
        device=torch.device(args.device),
        seconds=seconds,
        own_noise=("torch.compile",) if plan.is_stochastic else (),
    )
    for timing in timings:
        print(line(plan.sampler, plan.nfe, timing), flush=True)
    about = {
        "network": subject.name,
        "upper_bound": subject.upper_bound,
        "shape": [args.batch, *subject.shape],
        "sampler": plan.sampler,
        "nfe": plan.nfe,
        "trace_seconds": traced,
    }
    return [{**about, **timing.figures()} for timing in timings]


def subjects_of(args: argparse.Namespace) -> Iterator[tuple[Subject, Convention, Levels]]:
    """Yield the networks to run on, what diffusers calls their output, and the levels."""
    if args.checkpoint is None and args.network is None:
        for name in args.built_in.split(","):
            yield built_in(name, args)
    else:
        yield own(args)


def built_in(name: str, args: argparse.Namespace) -> tuple[Subject, Convention, Levels]:
    """Return a built-in network, taken for one that predicts the noise of a discrete process."""
    from pydiffcore import levels, prediction, process
    from pydiffcore.adapters.peers import Convention
    from pydiffcore.cli import networks
    from pydiffcore.cli.timing import Subject

    if name not in BUILT_IN:
        raise ValueError(f"--built-in holds {name!r}, expected {', '.join(BUILT_IN)}")
    if args.process or args.prediction:
        raise ValueError("--process and --prediction are for your own network")
    betas = process.linear_betas()
    discrete = process.discrete(betas)
    shape = shape_of(args.shape, None) if args.shape else BUILT_IN[name]
    network = getattr(networks, name)(args.batch, shape, args.device)
    subject = Subject(name, network, prediction.eps(discrete), shape, upper_bound=name == "stub")
    return subject, Convention("epsilon", betas), levels.trailing(args.steps, discrete)


def own(args: argparse.Namespace) -> tuple[Subject, Convention, Levels]:
    """Return the user's network."""
    from pydiffcore import levels
    from pydiffcore.adapters.peers import Convention
    from pydiffcore.cli.timing import Subject

    source = opened(args)
    word = (args.prediction or "").partition(":")[0]
    if word in KINDS and args.process is None:
        args.process = "ddpm"
    prediction = prediction_of(args, source)
    subject = Subject(
        args.network or args.checkpoint, source.network, prediction, shape_of(args.shape, source)
    )
    edm = re.fullmatch(r"edm\(sigma_data=(.*)\)", prediction.name)
    process = chosen_process(args)
    if word in KINDS and process.size is not None:
        betas = betas_of(process)
        return subject, Convention(KINDS[word], betas), levels.trailing(args.steps, process)
    kind = Convention("edm", sigma_data=float(edm.group(1))) if edm else Convention()
    return subject, kind, levels.karras(args.steps)


def betas_of(process: Any) -> Any:
    """Return the betas of a tabulated process: 1 − abar_i/abar_{i−1}."""
    import numpy as np

    abar = process.alpha(np.arange(process.size)) ** 2
    return 1 - abar / np.append(1.0, abar[:-1])


def opponents(sampler: Any, plan: Any, args: Any, convention: Convention) -> dict[str, Any]:
    """Return everybody else who can do the same work here."""
    from pydiffcore.adapters.eager import compiled, eager
    from pydiffcore.adapters.peers import peers

    found = peers(plan.sampler, args.steps, plan, convention)
    found |= {"eager, plain": eager(plan, "plain"), "eager, in place": eager(plan, "in place")}
    return found | ({"torch.compile": compiled(plan)} if args.compile else {})


def machine(args: argparse.Namespace) -> dict[str, Any]:
    """Return where and with what this runs."""
    import torch

    from pydiffcore.adapters.peers import versions
    from pydiffcore.cli.draw import machine as made_with

    device = torch.device(args.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {
        "device": str(device),
        "device_name": name,
        "processors": os.cpu_count(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "machine": made_with(),
        "peers": versions(),
        "state": "float32",
        "steps": args.steps,
    }


def processor() -> str:
    """Return the processor's name, where the system tells it."""
    import platform

    source = Path("/proc/cpuinfo")
    lines = source.read_text().splitlines() if source.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def heading(about: dict[str, Any]) -> str:
    """Return the first lines of the report."""
    made, peers = about["machine"], about["peers"]
    missing = " (pip install 'pydiffcore[peers]' adds diffusers)" if not peers else ""
    listed = ", ".join(f"{name} {version}" for name, version in peers.items()) or "none installed"
    return (
        f"{about['device']}: {about['device_name']}, {made['threads']} threads, "
        f"target {made['target']}, torch {made['torch']}\npeers: {listed}{missing}"
    )


COLUMNS = (
    f"{'sampler':<14}{'NFE':>4}  {'who':<32}{'ms':>10}{'quartiles':>22}{'outside':>9}{'× ours':>8}"
    "  result"
)
LEGEND = """
ms       a whole run: median and quartiles of interleaved rounds
outside  share of the run spent outside the network
× ours   its time over pydiffcore's in the same round: below 1 it is faster
result   equal: as pydiffcore's to 1e-4 on the same initial state and noise; own noise: compiled
         code draws its own, so that its results are others"""


def describe(subject: Subject, batch: int) -> str:
    """Return the line above a network's table."""
    size = "×".join(map(str, (batch, *subject.shape)))
    bound = ": it costs nothing, ratios are an upper bound" if subject.upper_bound else ""
    return f"network {subject.name}, {size}{bound}"


def line(sampler: str, nfe: int, timing: Timing) -> str:
    """Return a line of the table."""
    from pydiffcore.cli.timing import OURS

    figures = timing.figures()
    seconds, outside = figures["seconds"], figures["outside_network"]["median"]
    spread = f"{1e3 * seconds['lower_quartile']:.3f}–{1e3 * seconds['upper_quartile']:.3f}"
    result = "equal" if timing.equal else "own noise"
    if timing.equal is False:
        result = f"differs: {timing.difference:.1e}"
    elif timing.who == OURS:
        result = ""
    return (
        f"{sampler:<14}{nfe:>4}  {timing.who:<32}{1e3 * seconds['median']:>10.3f}{spread:>22}"
        f"{outside:>9.1%}{figures['times_pydiffcore']['median']:>8.2f}  {result}"
    )
