# SPDX-License-Identifier: Apache-2.0
"""A training in a process of its own: python run_worker.py FOLDER."""

import os
import sys
import time
from pathlib import Path

import torch
from test_run import tiny

from pydiffcore.data import open_source
from pydiffcore.train import ranks
from pydiffcore.train.run import run


def watch(trainer, line):
    print(f"step {line['step']}", flush=True)
    time.sleep(float(os.environ.get("WORKER_SLEEP", "0")))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with ranks.started("cpu", timeout=60) as here:
        out = run(tiny(), open_source("digits"), Path(sys.argv[1]), here, watch=watch)
        print("finished" if out.finished else f"stopped by {out.signal}", flush=True)
