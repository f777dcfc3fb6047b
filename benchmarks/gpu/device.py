# SPDX-License-Identifier: Apache-2.0
"""The facts that belong beside every figure: device, driver, versions, date."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

import pydiffcore
from pydiffcore.ops import native

__all__ = ["facts", "version"]


def facts(device: torch.device) -> dict[str, Any]:
    """Return what a reader needs to judge a figure, and to measure it again."""
    core = native.info()
    return {
        "device": name(device),
        "compute_capability": capability(device),
        "driver": driver() if device.type == "cuda" else None,
        "memory_bytes": memory(device),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None,
        "pydiffcore": pydiffcore.__version__,
        "pydiffcore_cuda": core["cuda"],
        "pydiffcore_target": core["target"],
        "diffusers": version("diffusers"),
        "jax": version("jax"),
        "python": platform.python_version(),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def version(package: str) -> str | None:
    """Return the version of a package that can be imported, or None."""
    return metadata.version(package) if find_spec(package) is not None else None


def name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


def capability(device: torch.device) -> str | None:
    if device.type != "cuda":
        return None
    return ".".join(map(str, torch.cuda.get_device_capability(device)))


def memory(device: torch.device) -> int | None:
    if device.type != "cuda":
        return None
    return int(torch.cuda.get_device_properties(device).total_memory)


def driver() -> str | None:
    """Return the driver's version: torch does not know it."""
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=True).stdout
        return answer.splitlines()[0].strip()
    except (OSError, subprocess.SubprocessError, IndexError):
        told = Path("/proc/driver/nvidia/version")
        return told.read_text().splitlines()[0] if told.exists() else None


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
