# SPDX-License-Identifier: Apache-2.0
"""A training in a process of its own: python run_worker.py FOLDER."""

import os
import sys
import time
from pathlib import Path

import torch
from trainings import tiny

from pydiffcore.data import Loader, open_source
from pydiffcore.train import ranks
from pydiffcore.train import run as module


class Dies(Loader):
    """Gives three batches, then its process is gone."""

    def __next__(self):
        if self.position >= 3 * self.batch:
            os._exit(9)
        return super().__next__()


def watch(trainer, line):
    print(f"step {line['step']}", flush=True)
    time.sleep(float(os.environ.get("WORKER_SLEEP", "0")))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with ranks.started("cpu", timeout=60) as here:
        if os.environ.get("WORKER_DIES") == str(here.rank):
            module.Loader = Dies
        out = module.run(
            tiny(**{"run.save_every": 2}),
            open_source("digits"),
            Path(sys.argv[1]),
            here,
            watch=watch,
        )
        print("finished" if out.finished else f"stopped by {out.signal}", flush=True)
