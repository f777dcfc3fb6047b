# SPDX-License-Identifier: Apache-2.0
"""One, two and three processes train the same: losses, levels and noise of 50 steps.

``torchrun`` starts them with gloo; the global batch is 24. Losses agree to rounding, as sums are
added in another order; levels and network inputs, which hold the noise, agree to the bit.
Two processes of which each holds half of every weight (``run.shard``) train that too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.claims.claim import Figure, main

STEPS, SEED = 50, 5
MODULE = "benchmarks.claims.training.tiny"


def train(
    folder: Path, count: int, *, shard: bool = False
) -> tuple[list[float], list[NDArray[np.float32]]]:
    """Return the losses of all steps, and their levels with inputs in the order of the samples."""
    words = [MODULE, folder, STEPS, SEED, STEPS, folder / "inputs", *["shard"] * shard]
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    done = subprocess.run(
        [sys.executable, *(launcher if count > 1 else []), "-m", *map(str, words)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    lines = (folder / "log.jsonl").read_text().splitlines()
    inputs = []
    for step in range(STEPS):
        parts = [np.load(folder / "inputs" / f"{step:04d}-{r}.npz") for r in range(count)]
        sigma = np.concatenate([part["sigma"] for part in parts])
        noisy = np.concatenate([part["inputs"] for part in parts])
        inputs += [sigma, noisy]
    return [json.loads(line)["loss"] for line in lines], inputs


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        alone, given = train(Path(name) / "1", 1)
        for count, shard in ((2, False), (3, False), (2, True)):
            who = f"{count} processes" + ", sharded" * shard
            losses, inputs = train(Path(name) / who.replace(" ", "-"), count, shard=shard)
            away = max(abs(a / b - 1) for a, b in zip(losses, alone, strict=True))
            differ = sum(not np.array_equal(a, b) for a, b in zip(inputs, given, strict=True))
            yield Figure(f"{who}: largest relative difference of a loss", away, "<= 1e-5")
            yield Figure(f"{who}: steps whose levels or inputs differ", differ, "<= 0",
                         note=f"of {STEPS}")  # fmt: skip


if __name__ == "__main__":
    main(measure)
