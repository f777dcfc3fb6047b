# SPDX-License-Identifier: Apache-2.0
"""The quickstart: train a small diffusion model on scans of digits, sample from it, measure it.

One function, from nothing to pictures and a table, in minutes on two CPU cores.  It reads nothing
but the scans inside scikit-learn and writes into one directory.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

import pydiffcore
from pydiffcore.atomic import write_atomically
from pydiffcore.cli import pictures
from pydiffcore.cli.measure import Measurement, measure, table
from pydiffcore.evaluate import Yardstick, train_judge
from pydiffcore.levels import karras
from pydiffcore.plan import Plan
from pydiffcore.prediction import Prediction
from pydiffcore.train import Model, Pace, digits, load_model, save_trained

if TYPE_CHECKING:
    from pydiffcore.train.config import Config
    from pydiffcore.train.trainer import Report

__all__ = ["TRAINING", "plans", "quickstart"]

BATCH = 128
TRAINING: dict[str, Any] = {
    "preset": "edm",
    "law": {"name": "lognormal", "mean": -0.8, "std": 1.2},
    "network": {"name": "unet"},
    "optimiser": {"batch": BATCH, "rate": {"peak": 2e-3, "kind": "cosine", "warmup": 100}},
    "averages": {"ema": {"kind": "half_life", "images": 100.0 * BATCH}},
    "run": {"images": 1600 * BATCH, "save_every": 250, "log_every": 10, "keep": 2, "device": "cpu"},
}

NFE = 35
# Grey levels of the scans are 0.125 apart, far above the lowest level, and no two scans are as far
# apart as the noise of the highest is long (20 in each of 64 pixels); rho = 3 spends more calls
# in the middle, where a digit takes shape, than 7 does.
SIGMA_MIN, SIGMA_MAX, RHO = 0.02, 20.0, 3.0
GRID_COLUMNS = 16
SHOWN = "heun"  # the sampler whose pictures are written
TRAJECTORY_DIGITS = (2, 3, 5, 8)
TRAJECTORY_LEVELS = 11
NEEDED = {"sklearn": "scikit-learn", "safetensors": "safetensors", "matplotlib": "matplotlib",
          "PIL": "pillow", "pydantic": "pydantic"}  # fmt: skip

Echo = Callable[[str], None]


def plans(prediction: Prediction, nfe: int = NFE) -> dict[str, Plan]:
    """Return the four samplers' plans, each of the same number of network calls.

    Args:
        prediction: what the network's output means.
        nfe: network calls per sample; odd, because Heun's method takes 2n − 1.

    Raises:
        ValueError: nfe is even or not positive.
    """
    if nfe < 1 or nfe % 2 == 0:
        raise ValueError(f"nfe is {nfe}, expected a positive odd number: Heun takes 2n − 1 calls")
    samplers = pydiffcore.samplers
    full, half = (karras(n, SIGMA_MIN, SIGMA_MAX, RHO) for n in (nfe, (nfe + 1) // 2))
    return {
        "euler": pydiffcore.trace(samplers.euler, full, prediction=prediction),
        "heun": pydiffcore.trace(samplers.heun, half, prediction=prediction),
        "dpmpp_2m": pydiffcore.trace(samplers.dpmpp_2m, full, prediction=prediction),
        "dpmpp_2m_sde": pydiffcore.trace(samplers.dpmpp_2m_sde, full, prediction=prediction),
    }


def quickstart(
    out_dir: str | Path = "runs/quickstart",
    *,
    overrides: Sequence[str] = (),
    samples: int = 1000,
    nfe: int = NFE,
    judge_steps: int = 1500,
    resume: bool = False,
    echo: Echo = print,
) -> dict[str, Any]:
    """Train on digits, sample with four samplers at equal NFE, measure, and write all of it.

    Writes what ``pydiffcore train`` does, samples.png, trajectory.png, loss.png and results.json.

    Args:
        out_dir: directory, made where it is missing; files of a former run are replaced.
        overrides: of fields of TRAINING, the configuration, as ``run.seed=1``.
        samples: drawn from each sampler, a multiple of 10, at least 800.
        nfe: network calls per sample, odd.
        judge_steps: optimiser steps of the judge.
        resume: go on from ``out_dir``'s newest checkpoint instead of starting anew.
        echo: called with every line of the report.

    Returns:
        What results.json holds.

    Raises:
        ImportError: an optional package is missing.
        FileNotFoundError, ValueError: there is nothing to resume, or it was made with another
            configuration.
        SystemExit: SIGINT or SIGTERM came while training; the last step is saved.
    """
    _require_extras()
    from pydiffcore.train.config import configured

    out, config = Path(out_dir), configured(overrides=overrides, **TRAINING)
    needed = digits.CLASSES * digits.DIFFUSION
    if samples < needed or samples % digits.CLASSES:
        raise ValueError(f"samples is {samples}, expected a multiple of 10, at least {needed}")
    chosen = plans(config.cell.prediction, nfe)
    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    data = digits.load()
    echo(
        f"digits: {len(data.diffusion)} scans to train on, {len(data.judge)} for the judge, "
        f"{len(data.reference)} for reference; no scan is in two of them"
    )
    with Pace() as pace:
        _train(out, config, pace, resume=resume, echo=echo)
        trained = time.perf_counter()
        try:
            results = _evaluated(out, data, chosen, samples, judge_steps, echo)
        except KeyboardInterrupt:
            echo(f"the trained model is in {out}; --resume goes on from there")
            raise
    results["seconds_training"] = trained - began
    results["seconds"] = time.perf_counter() - began
    write_atomically(out / "results.json", json.dumps(results, indent=1).encode())
    echo(f"time      {results['seconds']:.0f} s, {trained - began:.0f} s of it training")
    return results


def _evaluated(
    out: Path,
    data: digits.Digits,
    chosen: dict[str, Plan],
    samples: int,
    judge_steps: int,
    echo: Echo,
) -> dict[str, Any]:
    """Sample, measure, write the pictures, and return the figures."""
    yardstick = _yardstick(data, judge_steps)
    model = load_model(out / "model")
    labels = torch.arange(samples) % digits.CLASSES
    measured = [measure(name, plan, model, yardstick, labels) for name, plan in chosen.items()]
    shown = next(row.pixels for row in measured if row.sampler == SHOWN)
    _pictures(out, model, chosen[SHOWN], shown)
    for line in _report(yardstick, measured, out):
        echo(line)
    return _results(model, yardstick, measured)


def _yardstick(data: digits.Digits, judge_steps: int) -> Yardstick:
    judge = train_judge(data.judge.x0, data.judge.labels, steps=judge_steps)
    train, reference = data.diffusion, data.reference
    return Yardstick(judge, train.x0, train.labels, reference.x0, reference.labels)


def _results(model: Model, yardstick: Yardstick, measured: list[Measurement]) -> dict[str, Any]:
    return {
        "config": model.meta["training"]["config"],
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "judge_accuracy_on_reference": yardstick.accuracy,
        "frechet_floor": yardstick.floor,
        "samples": len(measured[0].pixels),
        "samplers": [row.figures() for row in measured],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "pydiffcore": pydiffcore.__version__,
    }


def _require_extras() -> None:
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise ImportError(
            f"the quickstart needs {', '.join(missing)}: pip install 'pydiffcore[digits]'"
        )


def _train(out: Path, config: Config, pace: Pace, *, resume: bool, echo: Echo) -> None:
    """Train to the end, or to a signal, and write the model at the end."""
    from pydiffcore.cli.grids import Grids
    from pydiffcore.cli.train import Watcher
    from pydiffcore.data import open_source
    from pydiffcore.train.ranks import Ranks
    from pydiffcore.train.run import run
    from pydiffcore.train.storage import steps_of

    source = open_source(config.data.source)
    _cleared(out, resume)
    watcher = Watcher(config, source, out, Grids(config, source, out, Ranks()))

    def tick(report: Report) -> None:
        watcher.tick(report)
        pace.step()

    try:
        outcome = run(config, source, out, echo=echo, watch=watcher, begin=watcher.begin, tick=tick)
    finally:
        watcher.close()
    if pace.gave_up:
        echo("the other cores were busy: most of this ran on one thread")
    if not outcome.finished:
        step = f"{outcome.signal} at step {outcome.trainer.step} of {config.steps}"
        if not outcome.saved:
            last = next((f"those up to step {n} are" for n, _ in steps_of(out)), "no step is")
            echo(f"{step}, which is not saved: {last} in {out / 'checkpoints'}")
            raise SystemExit(1)
        echo(f"{step}: all of it is saved in {out / 'checkpoints'}; go on with --resume")
        raise SystemExit(128 + signal.Signals[outcome.signal])
    save_trained(out / "model", outcome.trainer)


def _cleared(out: Path, resume: bool) -> None:
    """Take a former quickstart's checkpoints away, unless they are gone on from.

    Raises:
        FileNotFoundError: there is nothing to go on from.
        ValueError: the folder holds a training that is no quickstart's.
    """
    from pydiffcore.train.storage import steps_of

    if resume:
        if not steps_of(out):
            raise FileNotFoundError(2, "there is nothing to resume", str(out / "checkpoints"))
        return
    if not steps_of(out):
        return
    try:
        former = json.loads((out / "config.json").read_text("utf-8"))
        own = (former["data"]["source"], former["network"]["name"]) == ("digits", "unet")
    except (OSError, ValueError, KeyError, TypeError):
        own = False
    if not own:
        raise ValueError(f"{out} holds another training, expected none or a quickstart's: --out")
    shutil.rmtree(out / "checkpoints")


def _pictures(out: Path, model: Model, plan: Plan, drawn: Tensor) -> None:
    """Write the grid (a row per digit), one trajectory and the loss curve."""
    apart = functional.pad(drawn, (1, 1, 1, 1))  # digits fill their pixels to the edge
    by_digit = apart.unflatten(0, (-1, digits.CLASSES)).transpose(0, 1)
    pictures.write_grid(
        out / "samples.png",
        by_digit[:, :GRID_COLUMNS].flatten(0, 1),
        GRID_COLUMNS,
        enlarge=6,
        text={"plan": plan.hash, "seeds": f"{digits.CLASSES}·column + digit"},
    )
    shown = torch.tensor(TRAJECTORY_DIGITS)
    with torch.inference_mode():
        steps = [
            (step.sigma, step.x / float(plan.scale[step.call]), step.denoised)
            for step in pydiffcore.trajectory(
                model.denoiser(shown), plan, shape=model.shape, seeds=TRAJECTORY_DIGITS
            )
        ]
    spaced = torch.linspace(0, len(steps) - 1, min(TRAJECTORY_LEVELS, len(steps))).long()
    kept = [steps[i] for i in spaced.tolist()]
    sigmas, queries, denoised = zip(*kept, strict=True)
    pictures.write_trajectory(
        out / "trajectory.png", torch.stack(queries), torch.stack(denoised), sigmas
    )
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    pictures.write_losses(
        out / "loss.png", [line["step"] for line in lines], [line["loss"] for line in lines]
    )


def _report(yardstick: Yardstick, measured: list[Measurement], out: Path) -> list[str]:
    """Return what the user reads at the end."""
    near = measured[0].score.memorisation
    training, reference = len(yardstick.training), len(yardstick.reference)
    return [
        "",
        *table(measured),
        "",
        f"Fréchet   distance of {training} samples to the {reference} reference scans in the "
        f"judge's features; its floor is {yardstick.floor:.3f},",
        f"          that of the {training} training scans to the same {reference}",
        f"judge     share of {len(measured[0].pixels)} samples in which it sees the requested "
        f"digit; on the reference scans it is right in {yardstick.accuracy:.1%}",
        "median    distance to the nearest training scan, over that of the reference scans "
        f"({near.median_real:.2f})",
        "near      share of samples nearer to a training scan than 99 % of the reference scans "
        f"are ({near.quantile_real:.2f})",
        "outside   share of the time spent outside the network",
        f"pictures  {out / 'samples.png'}, {out / 'trajectory.png'}, {out / 'loss.png'}",
    ]
