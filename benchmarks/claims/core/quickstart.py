# SPDX-License-Identifier: Apache-2.0
"""The quickstart draws digits that are good, new, and there within minutes.

The command runs once, in a process of its own, with its own seed. Every distance is to the same
600 reference scans, which neither the diffusion model nor the judge has seen. The Fréchet distance
takes 80 samples of each digit, its floor the 80 training scans of each digit. Samples are unguided.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.claims.claim import Figure, main


def measure() -> Iterator[Figure]:
    """Run the command and read its results."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "pydiffcore", "quickstart", "--out", folder], check=True
        )
        seconds = time.monotonic() - began
        results = json.loads((Path(folder) / "results.json").read_text())
    yield Figure("whole command, without installation", seconds, "< 240", "s",
                 f"{results['threads']} threads")  # fmt: skip
    yield Figure("training", results["seconds_training"], unit="s")
    accuracy = results["judge_accuracy_on_reference"]
    yield Figure("judge right on reference scans", accuracy, note="what real digits score")
    yield Figure("Fréchet distance of training to reference scans", results["frechet_floor"])
    for row in results["samplers"]:
        yield from _of_sampler(row, results["samples"])


def _of_sampler(row: dict[str, Any], samples: int) -> Iterator[Figure]:
    name = f"{row['sampler']}, NFE {row['nfe']}"
    yield Figure(
        f"{name}: judge sees the requested digit",
        row["agreement"],
        ">= 0.95",
        note=f"of {samples} samples",
    )
    yield Figure(f"{name}: Fréchet distance over floor", row["frechet_over_floor"], "<= 1.5")
    yield Figure(
        f"{name}: median distance to the nearest training scan, over that of reference scans",
        row["median_distance_over_held_out"],
        ">= 0.85",
    )
    yield Figure(
        f"{name}: share nearer to a training scan than 99 % of reference scans",
        row["share_nearer_than_held_out_1_percent"],
    )
    outside = f"{row['share_outside_network']:.1%} of the time outside the network"
    yield Figure(f"{name}: speed", row["images_per_second"], unit="images/s", note=outside)


if __name__ == "__main__":
    main(measure)
