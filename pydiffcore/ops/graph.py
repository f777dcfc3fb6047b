# SPDX-License-Identifier: Apache-2.0
"""Recording launches into a CUDA graph, which one call then replays."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch

__all__ = ["CaptureError", "Graph", "record"]


class CaptureError(RuntimeError):
    """What was to be recorded cannot be; the message says why."""


@dataclass(frozen=True)
class Graph:
    """Launches that ``replay()`` puts on the current stream again, with what memory then holds.

    ``memory`` is the number of bytes that the device reserved for them.
    """

    replay: Callable[[], None]
    memory: int


def record(body: Callable[[], None], once: Callable[[], None], device: torch.device) -> Graph:
    """Record what ``body`` launches on a CUDA device.

    Args:
        body: the whole loop; it is run once, while it is recorded, and computes nothing then.
        once: a short run of everything in it, which compiles, tunes and loads what is needed
            before; after two such runs a third must not wait for the device.
        device: a CUDA device with its index.

    Raises:
        CaptureError: it waits for the device, or does something else that a graph cannot hold.

    """
    with torch.cuda.device(device):
        _warm(once, device)
        graph, before = torch.cuda.CUDAGraph(), torch.cuda.memory_reserved(device)
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                body()
        except RuntimeError as error:
            raise CaptureError(f"it cannot be recorded: {_first_line(error)}") from error
        return Graph(graph.replay, torch.cuda.memory_reserved(device) - before)


def _warm(once: Callable[[], None], device: torch.device) -> None:
    """Run on a stream of its own, as recording will, and look for waits."""
    current, side = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    side.wait_stream(current)
    try:
        with torch.cuda.stream(side):
            once()
            once()
            _look_for_waits(once)
    finally:
        current.wait_stream(side)


def _look_for_waits(once: Callable[[], None]) -> None:
    """Run with every wait for the device an error."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the mode itself: it is a prototype
        torch.cuda.set_sync_debug_mode("error")
        try:
            once()
        except RuntimeError as error:
            raise CaptureError(
                f"it waits for the device between launches: {_first_line(error)}"
            ) from error
        finally:
            torch.cuda.set_sync_debug_mode(before)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
