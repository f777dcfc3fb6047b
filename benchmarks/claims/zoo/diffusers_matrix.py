# SPDX-License-Identifier: Apache-2.0
"""Every scheduler class on a product of its options beside the diffusers that is installed.

Configurations in which diffusers' own result is not finite are counted and not compared; ours must
be finite there.

python -m benchmarks.claims.zoo.diffusers_matrix [CLASS ...]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.claims.claim import Figure, main

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))
import parity_axes
import parity_axes_dpm
import parity_axes_edm
import parity_axes_multistep
from parity import compare

AXES = [
    *parity_axes.AXES,
    *parity_axes_dpm.AXES,
    *parity_axes_edm.AXES,
    *parity_axes_multistep.AXES,
]

BAR = 1e-5


def measure(names: list[str] | None = None) -> Iterator[Figure]:
    torch.set_num_threads(1)
    import diffusers

    for name in dict.fromkeys(axes.name for axes in AXES):
        if names and name not in names:
            continue
        cases = [case for axes in AXES if axes.name == name for case in axes.cases()]
        count = wide = nan = 0
        loops, missed = 0.0, []
        for case in cases:
            errors = compare(case, BAR)
            count += 1
            nan += not errors.finite
            wide += errors.wide is not None
            loops = max(loops, errors.value())
            if not errors.holds(BAR):
                missed.append((case, errors))
        for case, errors in missed[:5]:
            print(f"       {case}\n       {errors}", flush=True)
        notes = [f"{wide} judged in float64"] if wide else []
        notes += [f"diffusers has NaN in {nan}, not compared"] if nan else []
        note = ", ".join(notes)
        yield Figure(
            f"{name}: largest difference from diffusers {diffusers.__version__} over {count} "
            "configurations, step by step and whole loop, second outputs and timesteps",
            loops, f"<= {BAR}", note=note,
        )  # fmt: skip


if __name__ == "__main__":
    main(lambda: measure(sys.argv[1:]))
