# SPDX-License-Identifier: Apache-2.0
"""Small trainings that several tests do, also in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

from pydiffcore.train import storage
from pydiffcore.train.config import configured
from pydiffcore.train.presets import PRESETS

TINY = {
    "adm": "{width=16, multipliers=[1, 1], blocks=1, attention=[4], head_channels=16, dropout=0.0}",
    "ddpmpp": "{width=16, multipliers=[1, 1], blocks=1, attention=[4], dropout=0.0}",
    "dit": "{patch=4, width=16, depth=1, heads=2}",
    "edm2": "{width=16, multipliers=[1, 1], blocks=1, attention=[4], head_channels=16}",
    "ncsnpp": "{width=16, multipliers=[1, 1], blocks=1, attention=[4], dropout=0.0}",
    "refinenet": "{width=8}",
    "unet": "{width=8, embedding=16, dropout=0.0}",
}
AVERAGED = {
    "averages": '{a={kind="power"}, b={kind="half_life", images=50}, c={kind="fixed"}}',
    "optimiser.clip": 0.5,
    # Adam divides by it: gradients that vanish but for rounding would become whole steps.
    "optimiser.eps": 1e-5,
}


def tiny(preset="ddpm", **changes):
    given = {"optimiser.batch": 12, "run.images": 96, "data.workers": 0, "run.log_every": 2}
    given |= {"network.options": TINY[PRESETS[preset].network], **changes}
    return configured(preset=preset, overrides=[f"{k}={v}" for k, v in given.items()])


def weights(trainer):
    return {name: tensor.clone() for name, tensor in storage.tensors(trainer).items()}


def started(worker, *arguments, ranks=0, **environment):
    """Start a worker's file, alone or by torchrun."""
    command = [sys.executable, str(worker), *map(str, arguments)]
    if ranks:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        command[1:1] = launcher
    here = {
        "OMP_NUM_THREADS": "1",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, **here, **environment},
    )  # fmt: skip
