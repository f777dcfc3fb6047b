# SPDX-License-Identifier: Apache-2.0
"""Every preset learns the digits in five minutes on two cores and draws them with four samplers.

``pydiffcore train examples/digits/NAME.toml`` trains on 800 scans. The model then draws 800 digits,
80 of each, by the sampler that its paper has and by three others with 35 calls of the network. Bars
are on the paper's own and on the second best of the others: a network of c_in = 1 that returns
sigma·score errs by sigma times its error, of which a deterministic sampler corrects nothing, and
what dpmpp_2m draws of ncsn and ncsnpp-ve stays below 0.9 in five minutes. The judge and the
reference scans are the quickstart's: neither the model nor the judge has seen what it is measured
by. Takes about an hour; writes the first digits of each sampler to docs/presets.png. Presets named
on the command line are measured alone, and not drawn.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import pydiffcore
from benchmarks.claims.claim import Figure, main
from pydiffcore.cli import pictures
from pydiffcore.cli.measure import Measurement
from pydiffcore.cli.measure import measure as measured
from pydiffcore.evaluate import Yardstick, train_judge
from pydiffcore.plan import Plan
from pydiffcore.train import digits, load_model
from pydiffcore.train.config import configured
from pydiffcore.train.native import native_plan
from pydiffcore.train.presets import PRESETS

FILES, PICTURE = Path("examples/digits"), Path("docs/presets.png")
SAMPLES, NFE = 800, 35
STEPS = {"ddpm": 250, "iddpm": 100, "ncsnpp-ve": 100, "ddpmpp-vp": 250, "subvp": 250}
SHOWN = 20  # digits of each sampler in the picture


def plans(name: str) -> dict[str, Plan]:
    """Return the preset's own sampler and three others."""
    cell, samplers = configured(FILES / f"{name}.toml").cell, pydiffcore.samplers
    high = min(20.0, float(cell.law.quantile(1.0)))  # no level above those it was trained at
    levels = pydiffcore.levels.karras(NFE, 0.02, high, 3.0)
    own = native_plan(cell, STEPS.get(name), bounds=(-1.0, 1.0))
    others = (samplers.dpmpp_2m, samplers.dpmpp_2m_sde, samplers.ancestral)
    return {f"{cell.sampler} (its own)": own} | {
        each.__name__: pydiffcore.trace(each, levels, cell.prediction) for each in others
    }


def trained(name: str, folder: Path) -> float:
    """Train by the command and return its seconds."""
    began = time.monotonic()
    words = ["train", str(FILES / f"{name}.toml"), "--out", str(folder)]
    subprocess.run([sys.executable, "-m", "pydiffcore", *words], check=True)
    return time.monotonic() - began


def figures(name: str, row: Measurement, bar: str) -> Iterator[Figure]:
    what = f"{name}, {row.sampler}, NFE {row.nfe}"
    yield Figure(f"{what}: judge sees the requested digit", row.score.agreement, bar,
                 note=f"Fréchet distance {row.score.ratio:.2f} of its floor")  # fmt: skip
    yield Figure(
        f"{what}: median distance to the nearest training scan, over that of reference scans",
        row.score.memorisation.ratio, ">= 0.85",
    )  # fmt: skip


def measure() -> Iterator[Figure]:
    torch.set_num_threads(2)
    data = digits.load()
    judge = train_judge(data.judge.x0, data.judge.labels)
    known, unseen = data.diffusion, data.reference
    yardstick = Yardstick(judge, known.x0, known.labels, unseen.x0, unseen.labels)
    yield Figure(
        "judge right on reference scans", yardstick.accuracy, note="what real digits score"
    )
    labels = torch.arange(SAMPLES) % digits.CLASSES
    strips: dict[str, dict[str, NDArray[np.uint8]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or PRESETS:
            out = Path(folder) / name
            yield Figure(
                f"{name}: training, from command to model", trained(name, out), "<= 300", "s"
            )
            model, strips[name] = load_model(out / "model"), {}
            seen = []
            for sampler, plan in plans(name).items():
                row = measured(sampler, plan, model, yardstick, labels)
                strips[name][sampler] = pictures.grid(row.pixels[:SHOWN], digits.CLASSES, 3)
                yield from figures(name, row, "" if seen else ">= 0.9")
                seen.append(row.score.agreement)
            second = sorted(seen[1:])[-2]
            yield Figure(f"{name}: the same of two others, the lower", second, ">= 0.9")
    if len(strips) == len(PRESETS):
        draw(strips)


def draw(strips: dict[str, dict[str, NDArray[np.uint8]]]) -> None:
    """Write two rows of digits for each preset and sampler."""
    from matplotlib.figure import Figure as Sheet

    sheet = Sheet(figsize=(16, 1.05 * len(strips)), layout="constrained")
    axes = sheet.subplots(len(strips), 4, squeeze=False)
    for line, (name, row) in zip(axes, strips.items(), strict=True):
        for axis, (sampler, strip) in zip(line, row.items(), strict=True):
            axis.imshow(strip, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.set_title(sampler, fontsize=7, pad=2)
        line[0].set_ylabel(name, fontsize=8)
    sheet.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main(measure)
