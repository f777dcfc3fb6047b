# SPDX-License-Identifier: Apache-2.0
"""The quickstart: train a small diffusion model on scans of digits, sample from it, measure it.

One function, from nothing to pictures and a table, in minutes on two CPU cores.  It reads nothing
but the scans inside scikit-learn and writes into one directory.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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
from pydiffcore.prediction import edm
from pydiffcore.train import (
    Model,
    Pace,
    Recipe,
    StopSignal,
    Training,
    digits,
    load_model,
    load_training,
    save_model,
    save_training,
    train,
)

__all__ = ["plans", "quickstart"]

NFE = 35
# Grey levels of the scans are 0.125 apart, far above the lowest level, and no two scans are as far
# apart as the noise of the highest is long (20 in each of 64 pixels); rho = 3 spends more calls
# in the middle, where a digit takes shape, than 7 does.
SIGMA_MIN, SIGMA_MAX, RHO = 0.02, 20.0, 3.0
SAVE_EVERY = 250
GRID_COLUMNS = 16
SHOWN = "heun"  # the sampler whose pictures are written
TRAJECTORY_DIGITS = (2, 3, 5, 8)
TRAJECTORY_LEVELS = 11
NEEDED = {"sklearn": "scikit-learn", "safetensors": "safetensors", "matplotlib": "matplotlib",
          "PIL": "pillow"}  # fmt: skip

Echo = Callable[[str], None]


def plans(sigma_data: float, nfe: int = NFE) -> dict[str, Plan]:
    """Return the four samplers' plans, each of the same number of network calls.

    Args:
        sigma_data: of the EDM prediction.
        nfe: network calls per sample; odd, because Heun's method takes 2n − 1.

    Raises:
        ValueError: nfe is even or not positive.
    """
    if nfe < 1 or nfe % 2 == 0:
        raise ValueError(f"nfe is {nfe}, expected a positive odd number: Heun takes 2n − 1 calls")
    prediction, samplers = edm(sigma_data), pydiffcore.samplers
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
    recipe: Recipe | None = None,
    samples: int = 1000,
    nfe: int = NFE,
    judge_steps: int = 1500,
    resume: bool = False,
    echo: Echo = print,
) -> dict[str, Any]:
    """Train on digits, sample with four samplers at equal NFE, measure, and write all of it.

    Writes samples.png, trajectory.png, loss.png, model.safetensors with model.json,
    training.safetensors with training.json (the state to go on from) and results.json.

    Args:
        out_dir: directory, made where it is missing; files of a former run are replaced.
        recipe: of the training; the digits' own where None.
        samples: drawn from each sampler, a multiple of 10, at least 800.
        nfe: network calls per sample, odd.
        judge_steps: optimiser steps of the judge.
        resume: go on from ``out_dir``'s training checkpoint instead of starting anew.
        echo: called with every line of the report.

    Returns:
        What results.json holds.

    Raises:
        ImportError: an optional package is missing.
        FileNotFoundError, ValueError: there is nothing to resume, or it does not fit the recipe.
        SystemExit: SIGINT or SIGTERM came while training; the last step is saved.
    """
    _require_extras()
    out, recipe = Path(out_dir), recipe or Recipe()
    needed = digits.CLASSES * digits.DIFFUSION
    if samples < needed or samples % digits.CLASSES:
        raise ValueError(f"samples is {samples}, expected a multiple of 10, at least {needed}")
    chosen = plans(recipe.sigma_data, nfe)
    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    data = digits.load()
    echo(
        f"digits: {len(data.diffusion)} scans to train on, {len(data.judge)} for the judge, "
        f"{len(data.reference)} for reference; no scan is in two of them"
    )
    with Pace() as pace:
        training = _trained(out, recipe, data.diffusion, pace, resume=resume, echo=echo)
        trained = time.perf_counter()
        try:
            results = _evaluated(out, training, data, chosen, samples, judge_steps, echo)
        except KeyboardInterrupt:
            echo(
                f"the trained model is in {out / 'model'}.safetensors; --resume goes on from there"
            )
            raise
    results["seconds_training"] = trained - began
    results["seconds"] = time.perf_counter() - began
    write_atomically(out / "results.json", json.dumps(results, indent=1).encode())
    echo(f"time      {results['seconds']:.0f} s, {trained - began:.0f} s of it training")
    return results


def _evaluated(
    out: Path,
    training: Training,
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
    _pictures(out, model, chosen[SHOWN], shown, training.losses)
    for line in _report(yardstick, measured, out):
        echo(line)
    return _results(model, training.recipe, yardstick, measured)


def _yardstick(data: digits.Digits, judge_steps: int) -> Yardstick:
    judge = train_judge(data.judge.x0, data.judge.labels, steps=judge_steps)
    train, reference = data.diffusion, data.reference
    return Yardstick(judge, train.x0, train.labels, reference.x0, reference.labels)


def _results(
    model: Model, recipe: Recipe, yardstick: Yardstick, measured: list[Measurement]
) -> dict[str, Any]:
    return {
        "recipe": asdict(recipe),
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


def _trained(
    out: Path, recipe: Recipe, data: digits.Split, pace: Pace, *, resume: bool, echo: Echo
) -> Training:
    """Train to the end, or to a signal, saving the state on the way and the model at the end."""
    path = out / "training"
    state = load_training(path, recipe) if resume else Training.start(recipe)
    if resume:
        echo(f"resuming at step {state.step} of {recipe.steps}")
    with StopSignal() as stop, _bar(recipe.steps, state.step) as bar:
        for progress in train(state, data.images, data.labels):
            bar(progress.loss)
            pace.step()
            if progress.step % SAVE_EVERY == 0 or stop.received is not None:
                save_training(path, state)
            if stop.received is not None:
                break
    if pace.gave_up:
        echo("the other cores were busy: most of this ran on one thread")
    if stop.received is not None and state.step < recipe.steps:
        echo(f"{stop.received.name} at step {state.step} of {recipe.steps}: all of it is saved in "
             f"{path}.safetensors; go on with --resume")  # fmt: skip
        raise SystemExit(128 + stop.received)
    save_training(path, state)
    save_model(
        out / "model",
        state.ema,
        sigma_data=recipe.sigma_data,
        shape=tuple(data.images.shape[1:]),
        training={"data": "scikit-learn digits", "recipe": asdict(recipe), "steps": state.step},
    )
    return state


@contextmanager
def _bar(steps: int, done: int) -> Iterator[Callable[[float], None]]:
    """Yield what to call with each step's loss: a progress bar if tqdm is there."""
    if find_spec("tqdm") is None:
        yield lambda loss: None
        return
    from tqdm.auto import tqdm

    mean = float("nan")
    with tqdm(total=steps, initial=done, unit="step", desc="training", mininterval=0.5) as bar:

        def advance(loss: float) -> None:
            nonlocal mean
            mean = loss if mean != mean else 0.98 * mean + 0.02 * loss
            bar.set_postfix(loss=f"{mean:.4f}", refresh=False)
            bar.update()

        yield advance


def _pictures(out: Path, model: Model, plan: Plan, drawn: Tensor, losses: list[float]) -> None:
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
    pictures.write_losses(out / "loss.png", losses)


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
