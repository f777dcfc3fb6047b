# SPDX-License-Identifier: Apache-2.0
"""Cold start of a policy: the first thing that a new process does on the device.

    python -m benchmarks.gpu.cold NETWORK METHOD STEPS DEVICE SCALE

Prints the seconds as JSON.  The clock starts when the network lies on the device and nothing has
run there: no library is loaded, no algorithm chosen.  It stops with the first action on the host.
Tracing the plan is inside; importing and making the network are said beside it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BEGUN = time.perf_counter()

import torch  # noqa: E402

from benchmarks.gpu.clock import Clock  # noqa: E402
from benchmarks.gpu.ours import Captured  # noqa: E402
from benchmarks.gpu.scale import FULL, QUICK, TINY  # noqa: E402
from benchmarks.gpu.task import Task, policy_network, policy_task  # noqa: E402

IMPORTED = time.perf_counter()

__all__ = ["asked"]

ROOT = Path(__file__).parents[2]
LIMIT = 60.0  # seconds for the process


def asked(given: Task) -> dict[str, Any]:
    """Return what a new process measures of a policy's task, or its error."""
    words = [given.case, given.method, str(given.steps), str(given.device), given.scale.name]
    command = [sys.executable, "-m", "benchmarks.gpu.cold", *words]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
        if done.returncode:
            return {"error": done.stderr.strip()[-300:]}
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


@torch.no_grad()
def started(name: str, method: str, steps: int, device: torch.device, scale: str) -> dict[str, Any]:
    """Return the seconds from a network on the device to the first action on the host."""
    chosen = next(each for each in (FULL, QUICK, TINY) if each.name == scale)
    begun = time.perf_counter()
    network = policy_network(name, device, chosen)
    Clock(device).wait()
    ready = time.perf_counter()
    given = policy_task(name, network, method, steps, device, chosen)
    draw = Captured(given)
    draw(None, given.condition).cpu()
    return {
        "seconds": time.perf_counter() - ready,
        "network_seconds": ready - begun,
        "import_seconds": IMPORTED - BEGUN,
        **draw.about(),
    }


def main() -> None:
    name, method, steps, device, scale = sys.argv[1:]
    print(json.dumps(started(name, method, int(steps), torch.device(device), scale)))


if __name__ == "__main__":
    main()
