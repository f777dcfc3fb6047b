# SPDX-License-Identifier: Apache-2.0
"""An action policy, trained by one command, does what its expert does, both ways.

The expert sees an obstacle's place and the goal behind it, and passes on the left or on the right
with equal chance: chunks of 16 actions, 2 numbers each, in units of their own (the way across in
metres, the way along in millimetres), 4,000 of them. ``pydiffcore train`` makes a 1-D U-Net of
them; 500 observations that it has not seen are drawn for by 10-step DDIM, 100-step DDPM and
10-step DPM-Solver++(2M). A chunk's error is its distance to the nearer of the expert's two, root
mean square over the actions; beside it stands what chunks of another observation have.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pydiffcore
from benchmarks.claims.claim import Figure, main
from pydiffcore import levels, samplers
from pydiffcore.train import load_model
from pydiffcore.train.presets import PRESETS

LENGTH, UNITS = 16, np.array([1.0, 1000.0])
OVERRIDES = [
    "network.name=unet1d", "network.options={widths=[32, 64], embedding=64}",
    "optimiser.batch=128", "optimiser.rate={peak=1e-3, kind='cosine'}", "run.images=768000",
    "averages.ema={kind='half_life', images=10000}", "run.save_every=2000", "run.device=cpu",
]  # fmt: skip


def expert(seen: NDArray[Any], side: NDArray[Any]) -> NDArray[Any]:
    """Return chunks [N, 16, 2] of observations [N, 2] = (obstacle, goal) on a side of ±1."""
    s = np.linspace(0, 1, LENGTH)
    across = seen[:, :1] * s + 0.5 * side[:, None] * np.sin(np.pi * s)
    along = (1.0 + 0.3 * seen[:, 1:]) * s
    return np.stack([across, along], axis=2) * UNITS


def observations(rng: np.random.Generator, count: int) -> NDArray[Any]:
    return rng.uniform(-1, 1, (count, 2))


def errors(actions: NDArray[Any], seen: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return each chunk's distance to the expert's nearer one, and that one's side."""
    sides = np.array([-1.0, 1.0])
    both = [expert(seen, np.full(len(seen), side)) for side in sides]
    away = [np.sqrt((((actions - each) / UNITS) ** 2).mean(axis=(1, 2))) for each in both]
    return np.min(away, axis=0), sides[np.argmin(away, axis=0)]


def trained(folder: Path, rng: np.random.Generator) -> float:
    """Write the expert's data, train by the command, and return its seconds."""
    seen = observations(rng, 4000)
    actions = expert(seen, rng.choice([-1.0, 1.0], len(seen)))
    np.savez(folder / "chunks.npz", actions=actions, observations=seen)
    words = ["train", "--preset", "ddpm", "--data", str(folder / "chunks.npz")]
    words += ["--out", str(folder / "run"), *(w for each in OVERRIDES for w in ("--set", each))]
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "pydiffcore", *words], check=True)
    return time.monotonic() - began


def measure() -> Iterator[Figure]:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        yield Figure("training, from command to model", trained(Path(folder), rng), unit="s")
        policy = load_model(Path(folder) / "run")
    table, seen = PRESETS["ddpm"].process, observations(rng, 500)
    assert policy.span is not None
    ways = [expert(seen[:1], np.array([side])) / UNITS for side in (-1.0, 1.0)]
    apart = float(np.sqrt(((ways[0] - ways[1]) ** 2).mean()))
    plans = {
        "ddim, 10 calls": (samplers.ddim, levels.trailing(10, table)),
        "ddpm, 100 calls": (samplers.ddpm, levels.trailing(100, table)),
        "dpmpp_2m, 10 calls": (samplers.dpmpp_2m, levels.trailing(10, table)),
    }
    for name, (sampler, visited) in plans.items():
        plan = pydiffcore.trace(sampler, visited, policy.prediction)
        model = policy.denoiser(observation=seen)
        x0 = pydiffcore.sample(model, plan, shape=policy.shape, seeds=range(len(seen)))
        actions = policy.span.restored(x0.double()).numpy()
        away, side = errors(actions, seen)
        other = errors(actions, rng.permutation(seen))[0]
        note = (f"median {np.median(away):.3f}, {np.median(other):.2f} to another observation's; "
                f"the two ways lie {apart:.2f} apart")  # fmt: skip
        worst = float(np.quantile(away, 0.95))
        yield Figure(f"{name}: error that 95 % of chunks stay below", worst, "<= 0.1", "", note)
        share = float((side > 0).mean())
        yield Figure(f"{name}: less frequent way", min(share, 1 - share), ">= 0.4")


if __name__ == "__main__":
    main(measure)
