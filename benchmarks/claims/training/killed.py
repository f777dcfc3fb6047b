# SPDX-License-Identifier: Apache-2.0
"""A training that is killed at random moments ends with the bits of one that never was.

A process trains a small DDPM++ on digits for 40 steps, a checkpoint after every second one, and is
killed (SIGKILL) 20 times: after a random number of lines of its log and a random part of the time
of a step more, so that writing is hit as well as computing. Each time the same command goes on.
All tensors of the last checkpoint (weights, averages, moments) are compared with those of an
uninterrupted run. Besides, each time the newest checkpoint that is left is loaded: it must be whole
or be refused, and one before it whole.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.claims.claim import Figure, main
from benchmarks.claims.training.tiny import config
from pydiffcore.data import open_source
from pydiffcore.train import checkpoint, storage
from pydiffcore.train.trainer import Trainer

STEPS, KILLS, SEED = 40, 20, 3


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.claims.training.tiny", folder, STEPS, SEED, 2]
    return subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def killed(folder: Path, chance: random.Random) -> bool:
    """Kill a run after some steps; return whether it lived long enough to be killed."""
    lines, pause = chance.randint(0, 5), chance.random() * 0.2
    with start(folder) as worker:
        assert worker.stdout is not None
        for _ in range(lines):
            worker.stdout.readline()
        time.sleep(pause)
        alive = worker.poll() is None
        worker.send_signal(signal.SIGKILL)
    return alive


def newest(folder: Path) -> tuple[int, int]:
    """Return how many checkpoints are refused, and whether one is whole (0 where there is none)."""
    refused = whole = 0
    for _, path in storage.steps_of(folder):
        try:
            checkpoint.load(path)
            whole += 1
        except (ValueError, FileNotFoundError):
            refused += 1
    return refused, whole


def final(folder: Path) -> dict[str, torch.Tensor]:
    source = open_source("digits")
    trainer = Trainer(config(STEPS, SEED, 2), source.shape, source.classes)
    step, faults = storage.resumed(folder, trainer)
    assert (step, faults) == (STEPS, [])
    return storage.tensors(trainer)


def measure() -> Iterator[Figure]:
    chance, kills, refused, lost = random.Random(0), 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        cut, whole = Path(name) / "cut", Path(name) / "whole"
        had = 0
        while kills < KILLS:
            kills += killed(cut, chance)
            bad, good = newest(cut)
            refused += bad
            lost += had > 0 and good == 0
            had = max(had, good)
            done = storage.steps_of(cut)
            if done and done[0][0] >= STEPS:  # begun again where it ended before the last kill
                for path in (cut / "checkpoints").iterdir():
                    if f"{STEPS:08d}" in path.name or "tmp" in path.name:
                        path.unlink()
        for folder in (cut, whole):
            with start(folder) as worker:
                said, _ = worker.communicate()
            assert worker.returncode == 0, said
        one, other = final(cut), final(whole)
        differ = sum(not torch.equal(one[key], other[key]) for key in other)
    yield Figure("times a run was killed", kills, f">= {KILLS}")
    yield Figure("tensors that differ from the uninterrupted run's", differ, "<= 0",
                 note=f"of {len(other)}")  # fmt: skip
    yield Figure("names of tensors that differ", len(one.keys() ^ other.keys()), "<= 0")
    yield Figure("kills that left no whole checkpoint where there was one", lost, "<= 0")
    yield Figure("half-written checkpoints that were refused", refused)


if __name__ == "__main__":
    main(measure)
